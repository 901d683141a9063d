/* Reads the journals of a run.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/faults/evidence.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { S_FIELDS_MAX = 16 };

typedef struct {
    evidence_t *evidence;
    const char *path;
    size_t line;
    uint64_t time_us;
    char *fields[S_FIELDS_MAX]; /* [0] is the word */
    size_t count;
    size_t instance; /* SIZE_MAX before its start */
} reader_t;

static _Noreturn void s_fail (const reader_t *self, const char *why)
{
    fprintf (stderr, "%s:%zu: %s\n", self->path, self->line, why);
    exit (2);
}

/* Makes room for one more element of `size` bytes and returns it, set to zero. */
static void *s_add (void *array_p, size_t *count, size_t size)
{
    char *array;
    memcpy (&array, array_p, sizeof array);
    if ((*count & (*count - 1)) == 0) {
        array = realloc (array, (*count ? 2 * *count : 1) * size);
        if (array == NULL)
            abort ();
        memcpy (array_p, &array, sizeof array);
    }
    memset (array + *count * size, 0, size);
    return array + (*count)++ * size;
}

static uint64_t s_number (const reader_t *self, size_t field)
{
    char *end;
    errno = 0;
    if (field >= self->count)
        s_fail (self, "a number is missing");
    uint64_t number = strtoull (self->fields[field], &end, 10);
    if (errno != 0 || end == self->fields[field] || *end != '\0')
        s_fail (self, "what should be a number is none");
    return number;
}

static const char *s_text (const reader_t *self, size_t field)
{
    return field < self->count ? self->fields[field] : "";
}

static bool s_is (const reader_t *self, const char *word)
{
    return strcmp (self->fields[0], word) == 0;
}

static evidence_instance_t *s_instance (const reader_t *self)
{
    if (self->instance == SIZE_MAX)
        s_fail (self, "this comes before the start");
    return &self->evidence->instances[self->instance];
}

/* ---- who makes faults ------------------------------------------------------------------------ */

static void s_finish (reader_t *self)
{
    evidence_t *evidence = self->evidence;
    for (size_t i = evidence->fault_count; i-- > 0;)
        if (strcmp (evidence->faults[i].id, s_text (self, 1)) == 0) {
            evidence->faults[i].finish_us = self->time_us;
            return;
        }
    s_fail (self, "no such fault has begun");
}

static bool s_read_fault (reader_t *self)
{
    evidence_t *evidence = self->evidence;
    if (s_is (self, "begin") || s_is (self, "kill")) {
        bool is_kill = s_is (self, "kill");
        evidence_fault_t *fault =
            s_add (&evidence->faults, &evidence->fault_count, sizeof *evidence->faults);
        snprintf (fault->id, sizeof fault->id, "%s", s_text (self, 1));
        snprintf (fault->target, sizeof fault->target, "%s", s_text (self, is_kill ? 1 : 2));
        snprintf (fault->what, sizeof fault->what, "%s", is_kill ? "kill" : s_text (self, 3));
        fault->begin_us = self->time_us;
        fault->finish_us = is_kill ? self->time_us : UINT64_MAX;
    } else if (s_is (self, "busy")) {
        evidence_fault_t *fault =
            s_add (&evidence->faults, &evidence->fault_count, sizeof *evidence->faults);
        snprintf (fault->target, sizeof fault->target, "broker");
        snprintf (fault->what, sizeof fault->what, "busy");
        fault->begin_us = self->time_us - s_number (self, 1);
        fault->finish_us = self->time_us;
    } else if (s_is (self, "finish")) {
        s_finish (self);
    } else if (s_is (self, "launch")) {
        evidence_era_t *era = s_add (&evidence->eras, &evidence->era_count, sizeof *evidence->eras);
        *era = (evidence_era_t){ .launch_us = self->time_us, .stopping_us = UINT64_MAX };
    } else if (s_is (self, "running") && evidence->era_count > 0) {
        evidence->eras[evidence->era_count - 1].incarnation = s_number (self, 1);
    } else if (s_is (self, "stopping") && evidence->era_count > 0) {
        evidence->eras[evidence->era_count - 1].stopping_us = self->time_us;
    } else {
        return s_is (self, "listening") || s_is (self, "note");
    }
    return true;
}

/* ---- peers ----------------------------------------------------------------------------------- */

static void s_start (reader_t *self)
{
    evidence_t *evidence = self->evidence;
    self->instance = evidence->instance_count;
    evidence_instance_t *instance =
        s_add (&evidence->instances, &evidence->instance_count, sizeof *evidence->instances);
    const char *name = strrchr (self->path, '/');
    snprintf (instance->name, sizeof instance->name, "%s", name ? name + 1 : self->path);
    char *end = strstr (instance->name, ".journal");
    if (end != NULL)
        *end = '\0';
    snprintf (instance->peer, sizeof instance->peer, "%s", instance->name);
    end = strchr (instance->peer, '.');
    if (end != NULL)
        *end = '\0';
    instance->is_producer = strcmp (s_text (self, 1), "producer") == 0;
    instance->number = instance->is_producer ? s_number (self, 2) : 0;
    instance->seed = s_number (self, instance->is_producer ? 3 : 2);
    instance->start_us = self->time_us;
    instance->killed_us = UINT64_MAX;
    instance->last_got = SIZE_MAX;
}

static void s_got (reader_t *self)
{
    evidence_t *evidence = self->evidence;
    evidence_instance_t *instance = s_instance (self);
    size_t index = evidence->delivery_count;
    evidence_delivery_t *delivery =
        s_add (&evidence->deliveries, &evidence->delivery_count, sizeof *evidence->deliveries);
    *delivery = (evidence_delivery_t){
        .time_us = self->time_us,
        .instance = self->instance,
        .offset = s_number (self, 1),
        .epoch = s_number (self, 2),
        .attempt = (uint32_t) s_number (self, 3),
        .redelivered = s_number (self, 4) != 0,
        .producer = s_number (self, 5),
        .sequence = s_number (self, 6),
        .size = s_number (self, 7),
        .hash = s_number (self, 8),
        .before = s_number (self, 9),
        .after = s_number (self, 10),
        .previous_got = instance->last_got,
    };
    instance->last_got = index;
}

static void s_settled (reader_t *self, evidence_fate_t fate)
{
    evidence_delivery_t *deliveries = self->evidence->deliveries;
    uint64_t offset = s_number (self, 1), epoch = s_number (self, 2);
    for (size_t i = s_instance (self)->last_got; deliveries != NULL && i != SIZE_MAX;
         i = deliveries[i].previous_got)
        if (deliveries[i].offset == offset && deliveries[i].epoch == epoch) {
            deliveries[i].fate = fate;
            deliveries[i].fate_losses = s_number (self, 3);
            return;
        }
    s_fail (self, "what is settled was never received");
}

/* Everything acked in this session so far is committed. */
static void s_flushed (reader_t *self)
{
    evidence_delivery_t *deliveries = self->evidence->deliveries;
    uint64_t losses = s_number (self, 1);
    for (size_t i = s_instance (self)->last_got; deliveries != NULL && i != SIZE_MAX;
         i = deliveries[i].previous_got) {
        evidence_delivery_t *delivery = &deliveries[i];
        if (delivery->is_committed || delivery->before < losses)
            return;
        delivery->is_committed = delivery->fate == EVIDENCE_ACK && delivery->before == losses
                                 && delivery->fate_losses == losses;
    }
}

static void s_confirmed (reader_t *self)
{
    evidence_t *evidence = self->evidence;
    evidence_confirmed_t *confirmed =
        s_add (&evidence->confirmed, &evidence->confirmed_count, sizeof *evidence->confirmed);
    *confirmed = (evidence_confirmed_t){
        .time_us = self->time_us,
        .instance = self->instance,
        .sequence = s_number (self, 1),
        .offset = s_number (self, 2),
        .losses = s_number (self, 3),
    };
}

static void s_end (reader_t *self)
{
    evidence_instance_t *instance = s_instance (self);
    instance->has_ended = true;
    instance->received = s_number (self, 1);
    instance->stale = s_number (self, 2);
}

static void s_note_number (reader_t *self, uint64_t **array, size_t *count, uint64_t number)
{
    (void) self;
    uint64_t *place = s_add (array, count, sizeof **array);
    *place = number;
}

static bool s_read_peer (reader_t *self)
{
    evidence_t *evidence = self->evidence;
    if (s_is (self, "start")) {
        s_start (self);
    } else if (s_is (self, "got")) {
        s_got (self);
    } else if (s_is (self, "ack")) {
        s_settled (self, EVIDENCE_ACK);
    } else if (s_is (self, "nack")) {
        s_settled (self, EVIDENCE_NACK);
    } else if (s_is (self, "flushed")) {
        s_flushed (self);
    } else if (s_is (self, "sent")) {
        evidence_sent_t *sent =
            s_add (&evidence->sent, &evidence->sent_count, sizeof *evidence->sent);
        *sent =
            (evidence_sent_t){ s_instance (self)->number, s_number (self, 1), s_number (self, 2) };
    } else if (s_is (self, "known")) {
        s_instance (self)->known = s_number (self, 1);
    } else if (s_is (self, "confirmed")) {
        s_confirmed (self);
    } else if (s_is (self, "loss")) {
        evidence_instance_t *instance = s_instance (self);
        while (instance->loss_count < s_number (self, 1))
            s_note_number (self, &instance->losses, &instance->loss_count, self->time_us);
    } else if (s_is (self, "late")) {
        evidence_instance_t *instance = s_instance (self);
        s_note_number (self, &instance->lates, &instance->late_count, self->time_us);
        s_note_number (self, &instance->lates, &instance->late_count, s_number (self, 1));
    } else if (s_is (self, "end")) {
        s_end (self);
    } else if (s_is (self, "error")) {
        evidence_instance_t *instance = s_instance (self);
        size_t used = 0;
        for (size_t i = 1; i < self->count && used < sizeof instance->error; i++)
            used += (size_t) snprintf (instance->error + used, sizeof instance->error - used, " %s",
                                       self->fields[i]);
    } else {
        return false;
    }
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void s_read_line (reader_t *self, char *line)
{
    char *rest = line, *field;
    self->count = 0;
    char *time = strsep (&rest, " ");
    char *end;
    self->time_us = strtoull (time, &end, 10);
    if (end == time || *end != '\0')
        s_fail (self, "a line begins with a time");
    while ((field = strsep (&rest, " ")) != NULL && self->count < S_FIELDS_MAX)
        self->fields[self->count++] = field;
    if (self->count == 0 || !(s_read_fault (self) || s_read_peer (self)))
        s_fail (self, "no such line is known");
}

static void s_read_file (evidence_t *evidence, const char *path)
{
    reader_t reader = { .evidence = evidence, .path = path, .instance = SIZE_MAX };
    FILE *file = fopen (path, "r");
    if (file == NULL) {
        perror (path);
        exit (2);
    }
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline (&line, &room, file)) > 0) {
        reader.line++;
        if (line[size - 1] != '\n')
            break; /* its writer was killed */
        line[size - 1] = '\0';
        s_read_line (&reader, line);
    }
    free (line);
    fclose (file);
}

static void s_apply_kills (evidence_t *self)
{
    for (size_t i = 0; i < self->fault_count; i++) {
        evidence_fault_t *fault = &self->faults[i];
        for (size_t j = 0; j < self->instance_count && strcmp (fault->what, "kill") == 0; j++)
            if (strcmp (self->instances[j].name, fault->target) == 0)
                self->instances[j].killed_us = fault->begin_us;
    }
}

evidence_t *evidence_read (const char *folder)
{
    evidence_t *self = calloc (1, sizeof *self);
    char pattern[500];
    glob_t names;
    snprintf (pattern, sizeof pattern, "%s/*.journal", folder);
    if (self == NULL)
        abort ();
    if (glob (pattern, 0, NULL, &names) != 0) {
        fprintf (stderr, "%s: no journals\n", folder);
        exit (2);
    }
    for (size_t i = 0; i < names.gl_pathc; i++)
        s_read_file (self, names.gl_pathv[i]);
    globfree (&names);
    s_apply_kills (self);
    return self;
}

void evidence_destroy (evidence_t **self_p)
{
    evidence_t *self = *self_p;
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->instance_count; i++) {
        free (self->instances[i].losses);
        free (self->instances[i].lates);
    }
    free (self->faults);
    free (self->eras);
    free (self->instances);
    free (self->deliveries);
    free (self->confirmed);
    free (self->sent);
    free (self);
    *self_p = NULL;
}
