/* Runs a shell command for one record.
 * SPDX-License-Identifier: MPL-2.0 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumers/command_runner.h"
#include "wire/alloc.h"

/* Variables for a command: ours first, so that they win over what has the same name already. */
typedef struct {
    char **list; /* NULL-terminated */
    size_t count;
    size_t owned; /* the first ones are ours to free */
} environment_t;

static void s_push (environment_t *self, char *variable)
{
    self->list = leat_realloc (self->list, (self->count + 2) * sizeof *self->list);
    self->list[self->count++] = variable;
    self->list[self->count] = NULL;
}

static bool s_has (const environment_t *self, const char *variable)
{
    size_t name_size = strcspn (variable, "=") + 1;
    for (size_t i = 0; i < self->owned; i++)
        if (strncmp (self->list[i], variable, name_size) == 0)
            return true;
    return false;
}

/* NAME=VALUE, unless the value has a zero byte or the name was there before. */
static void s_set (environment_t *self, const char *name, size_t name_size, const void *value,
                   size_t value_size)
{
    if (value_size && memchr (value, 0, value_size))
        return;
    char *variable = leat_alloc (name_size + value_size + 2);
    memcpy (variable, name, name_size);
    variable[name_size] = '=';
    if (value_size)
        memcpy (variable + name_size + 1, value, value_size);
    if (s_has (self, variable)) {
        free (variable);
        return;
    }
    s_push (self, variable);
    self->owned = self->count;
}

static void s_set_text (environment_t *self, const char *name, const char *value)
{
    s_set (self, name, strlen (name), value, strlen (value));
}

static void s_set_number (environment_t *self, const char *name, uint64_t value)
{
    char digits[24];
    snprintf (digits, sizeof digits, "%" PRIu64, value);
    s_set_text (self, name, digits);
}

static void s_set_header (environment_t *self, const leat_header_t *header)
{
    static const char prefix[] = "LEAT_HEADER_";
    char name[sizeof prefix + 255];
    size_t size = sizeof prefix - 1;
    memcpy (name, prefix, size);
    for (size_t i = 0; i < header->name_size && size < sizeof name; i++) {
        char letter = header->name[i];
        bool plain = letter > 0 && isalnum ((unsigned char) letter);
        name[size] = '_';
        if (plain)
            name[size] = letter;
        size++;
    }
    s_set (self, name, size, header->value, header->value_size);
}

static void s_fill (environment_t *self, const leat_command_runner_t *runner,
                    const leat_delivered_t *delivered)
{
    const leat_record_t *record = &delivered->record;
    s_set_text (self, "LEAT_STREAM", runner->stream);
    s_set_text (self, "LEAT_GROUP", runner->group);
    s_set_number (self, "LEAT_OFFSET", delivered->offset);
    s_set_number (self, "LEAT_ATTEMPT", delivered->attempt);
    s_set_number (self, "LEAT_EPOCH", delivered->epoch);
    s_set_number (self, "LEAT_REDELIVERED", delivered->redelivered);
    s_set_number (self, "LEAT_TIME_MS", delivered->time_ms);
    if (record->key)
        s_set (self, "LEAT_KEY", strlen ("LEAT_KEY"), record->key, record->key_size);
    size_t position = 0;
    leat_header_t header;
    while (leat_headers_next (record, &position, &header))
        s_set_header (self, &header);
    /* A record without a key or header must not get that of another one around it. */
    for (char **variable = environ; *variable; variable++)
        if (strncmp (*variable, "LEAT_KEY=", 9) != 0 && strncmp (*variable, "LEAT_HEADER_", 12) != 0
            && !s_has (self, *variable))
            s_push (self, *variable);
}

static void s_free (environment_t *self)
{
    for (size_t i = 0; i < self->owned; i++)
        free (self->list[i]);
    free (self->list);
}

/* A file in memory with the body, to be read from its beginning; -1 with errno. */
static int s_body (const leat_record_t *record)
{
    int fd = memfd_create ("record", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < record->body_size) {
        ssize_t size = pwrite (fd, record->body + done, record->body_size - done, (off_t) done);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0) {
            close (fd);
            return -1;
        }
        done += (size_t) size;
    }
    return fd;
}

/* In the child: tells the parent why it did not become a shell. */
static _Noreturn void s_give_up (int report, int problem)
{
    ssize_t written = write (report, &problem, sizeof problem);
    (void) written; /* The parent may be gone. */
    _exit (127);
}

/* The child's side: only functions that are safe after fork in a process with threads. What goes wrong is
 * written to `report`, which execve closes. */
static _Noreturn void s_become (const leat_command_runner_t *runner, char **environment, int body,
                                int report, pid_t parent)
{
    sigset_t none;
    sigemptyset (&none);
    signal (SIGPIPE, SIG_DFL);
    sigprocmask (SIG_SETMASK, &none, NULL);
    /* Without its guardian's group, if that was killed, it still is not in the terminal's. */
    if (setpgid (0, runner->process_group) != 0)
        setpgid (0, 0);
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    /* The parent may have died before that. */
    if (getppid () != parent)
        _exit (127);
    if (dup2 (body, STDIN_FILENO) < 0)
        s_give_up (report, errno);
    char *const arguments[] = { (char *) (uintptr_t) "sh", (char *) (uintptr_t) "-c",
                                (char *) (uintptr_t) runner->command, NULL };
    execve ("/bin/sh", arguments, environment);
    s_give_up (report, errno);
}

/* Waits for the child's end: its status, or -1 with errno if it did not become a shell. */
static int s_await (pid_t child, int report)
{
    int problem = 0;
    int status = -1;
    ssize_t size;
    /* Ends when the shell begins, or the child has ended. */
    do
        size = read (report, &problem, sizeof problem);
    while (size < 0 && errno == EINTR);
    while (waitpid (child, &status, 0) < 0 && errno == EINTR)
        continue;
    errno = problem;
    return size == sizeof problem ? -1 : status;
}

int leat_command_runner_run (const leat_command_runner_t *self, const leat_delivered_t *delivered)
{
    int report[2];
    int body = s_body (&delivered->record);
    if (body < 0)
        return -1;
    if (pipe2 (report, O_CLOEXEC) != 0) {
        int problem = errno;
        close (body);
        errno = problem;
        return -1;
    }
    environment_t environment = { 0 };
    s_fill (&environment, self, delivered);
    pid_t parent = getpid ();
    pid_t child = fork ();
    if (child == 0)
        s_become (self, environment.list, body, report[1], parent);
    int problem = errno;
    close (report[1]);
    errno = problem;
    int status = child < 0 ? -1 : s_await (child, report[0]);
    problem = errno;
    close (report[0]);
    close (body);
    s_free (&environment);
    errno = problem;
    return status;
}
