/* Writes the trace, keeps its hash, and reports violations.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/simulation/trace.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    SECONDS_MAX = 120 /* of processor time for one run; more is a loop that does not end */
};

/* The run that a signal would interrupt; nothing else is reachable from a handler. */
static sim_t *watched;

static void s_hash (sim_t *self, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t hash = self->trace_hash;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        memcpy (&word, at, 8);
        hash = sim_mix (hash ^ word);
    }
    uint64_t rest = size;
    for (size_t index = 0; index < size; index++)
        rest = rest << 8 | at[index];
    self->trace_hash = sim_mix (hash ^ rest);
}

static void s_begin (sim_t *self, const char *who)
{
    fprintf (self->trace, "%6llu %10.3f ms %-9s ", (unsigned long long) self->step,
             (double) self->now_us / 1000, who);
}

void sim_trace (sim_t *self, const char *who, const char *format, ...)
{
    s_hash (self, &self->now_us, sizeof self->now_us);
    s_hash (self, who, strlen (who));
    if (!self->trace)
        return;
    va_list list;
    va_start (list, format);
    s_begin (self, who);
    vfprintf (self->trace, format, list);
    fputc ('\n', self->trace);
    va_end (list);
}

static void s_ranges (FILE *file, const leat_ranges_t *list)
{
    for (uint32_t index = 0; index < list->count; index++) {
        leat_range_t range = leat_ranges_get (list, index);
        fprintf (file, " [%llx: %llu+%u]", (unsigned long long) range.epoch,
                 (unsigned long long) range.first, range.count);
    }
}

static void s_settles (FILE *file, const leat_settles_t *list)
{
    for (uint32_t index = 0; index < list->count; index++) {
        leat_settle_entry_t entry = leat_settles_get (list, index);
        fprintf (file, " [%llx: %llu+%u outcome=%u delay_ms=%u]", (unsigned long long) entry.epoch,
                 (unsigned long long) entry.first, entry.count, entry.outcome, entry.delay_ms);
    }
}

#define NUMBER(field) fprintf (file, " " #field "=%llu", (unsigned long long) fields->field);
#define U8(field) NUMBER (field)
#define U16(field) NUMBER (field)
#define U32(field) NUMBER (field)
#define U64(field) NUMBER (field)
#define NAME(field)                                                                                \
    fprintf (file, " " #field "=%.*s", (int) fields->field.size, fields->field.data);
#define TEXT(field) NAME (field)
#define BLOB(field) fprintf (file, " " #field "=%zu bytes", fields->field.size);
#define RANGES(field) s_ranges (file, &fields->field);
#define SETTLES(field) s_settles (file, &fields->field);
#define COMMAND(NAME_, name, number, body)                                                         \
    static void s_print_##name (FILE *file, const leat_##name##_t *fields)                         \
    {                                                                                              \
        body                                                                                       \
    }
#include "wire/commands.def"
#undef COMMAND

#define BODY(field) fprintf (file, " " #field "=%zu bytes", fields->field.size);
#define OPERATION(NAME_, name, number, body)                                                       \
    static void s_print_operation_##name (FILE *file, const leat_operation_##name##_t *fields)     \
    {                                                                                              \
        body                                                                                       \
    }
#include "wire/operations.def"
#undef OPERATION

static void s_operation (FILE *file, const leat_operation_t *operation)
{
    fprintf (file, "%36s%s", "", leat_operation_name (operation->id));
    switch (operation->id) {
#define OPERATION(NAME_, name, number, body)                                                       \
    case LEAT_OPERATION_##NAME_:                                                                   \
        s_print_operation_##name (file, &operation->name);                                         \
        break;
#include "wire/operations.def"
#undef OPERATION
    default:
        break;
    }
    fputc ('\n', file);
}

void sim_trace_commit (sim_t *self, leat_buffer_t *bytes)
{
    leat_commit_reader_t reader;
    leat_operation_t operation;
    s_hash (self, leat_buffer_bytes (bytes), leat_buffer_size (bytes));
    if (!self->trace || leat_commit_read (&reader, bytes) != LEAT_OK)
        return;
    while (reader.left > 0 && leat_commit_read_operation (&reader, &operation) == LEAT_OK)
        s_operation (self->trace, &operation);
}

static void s_command (FILE *file, const leat_command_t *command)
{
    fputs (leat_command_name (command->id), file);
    switch (command->id) {
#define COMMAND(NAME_, name, number, body)                                                         \
    case LEAT_##NAME_:                                                                             \
        s_print_##name (file, &command->name);                                                     \
        break;
#include "wire/commands.def"
#undef COMMAND
    default:
        break;
    }
}

static void s_batch (FILE *file, const leat_batch_t *batch, size_t body_size)
{
    fprintf (file, "%s channel=%u first=%llu count=%u size=%zu", leat_command_name (batch->command),
             batch->channel, (unsigned long long) batch->first, batch->count, body_size);
    if (batch->command == LEAT_PUBLISH)
        fprintf (file, " flight=%u", batch->flight);
    else
        fprintf (file, " epoch=%llx attempt=%u flags=%u", (unsigned long long) batch->epoch,
                 batch->attempt, batch->flags);
    if (batch->attributes & LEAT_BATCH_EXTENDED)
        fputs (" extended", file);
}

void sim_trace_message (sim_t *self, const char *who, const char *sign, uint64_t number,
                        const uint8_t *header, size_t header_size, size_t body_size)
{
    s_hash (self, &self->now_us, sizeof self->now_us);
    s_hash (self, &number, sizeof number);
    s_hash (self, header, header_size);
    if (!self->trace)
        return;
    s_begin (self, who);
    fprintf (self->trace, "%s %llu ", sign, (unsigned long long) number);
    leat_batch_t batch;
    leat_command_t command;
    bool is_batch = body_size && header_size >= LEAT_BATCH_HEADER_SIZE
                    && leat_batch_decode (&batch, header, LEAT_BATCH_HEADER_SIZE) == LEAT_OK;
    if (is_batch) {
        s_batch (self->trace, &batch, body_size);
        if (header_size > LEAT_BATCH_HEADER_SIZE)
            fprintf (self->trace, ", first of %zu", header_size / LEAT_BATCH_HEADER_SIZE);
    } else if (leat_command_decode (&command, header, header_size, NULL) == LEAT_OK)
        s_command (self->trace, &command);
    else
        fprintf (self->trace, "malformed, %zu bytes", header_size);
    fputc ('\n', self->trace);
}

static void s_how_to_replay (const sim_t *self)
{
    fprintf (stderr, "  again: leat_simulate --seed %llu --steps %llu --trace\n",
             (unsigned long long) self->seed, (unsigned long long) self->chaos_steps);
}

void sim_violation (sim_t *self, const char *invariant, const char *format, ...)
{
    va_list list;
    fflush (stdout);
    if (self->trace)
        fflush (self->trace);
    fprintf (stderr, "VIOLATION seed %llu step %llu at %.3f ms: %s\n  ",
             (unsigned long long) self->seed, (unsigned long long) self->step,
             (double) self->now_us / 1000, invariant);
    va_start (list, format);
    vfprintf (stderr, format, list);
    va_end (list);
    fputc ('\n', stderr);
    s_how_to_replay (self);
    fflush (stderr);
    _exit (1);
}

/* Not safe in general from a handler; the program has come to its end anyway, and without the seed
 * its death says nothing. */
static void s_died (int number)
{
    signal (number, SIG_DFL);
    if (watched)
        sim_violation (watched,
                       number == SIGVTALRM ? "the engines come to an end" : "no assertion fails",
                       "signal %d (%s)", number, strsignal (number));
    raise (number);
}

void sim_trace_watch (sim_t *self)
{
    static const int numbers[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGVTALRM };
    struct itimerval timer = { .it_value.tv_sec = self ? SECONDS_MAX : 0 };
    watched = self;
    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++)
        signal (numbers[index], self ? s_died : SIG_DFL);
    setitimer (ITIMER_VIRTUAL, &timer, NULL);
}
