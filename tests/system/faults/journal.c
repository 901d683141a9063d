/* Journals of the tests with faults.
 * SPDX-License-Identifier: MPL-2.0 */
#include "tests/system/faults/journal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct fault_journal {
    int fd;
};

fault_journal_t *fault_journal_new (const char *path)
{
    fault_journal_t *self = calloc (1, sizeof *self);
    if (self == NULL)
        abort ();
    self->fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (self->fd < 0) {
        perror (path);
        exit (1);
    }
    return self;
}

void fault_journal_destroy (fault_journal_t **self_p)
{
    if (*self_p == NULL)
        return;
    close ((*self_p)->fd);
    free (*self_p);
    *self_p = NULL;
}

void fault_journal_write (fault_journal_t *self, const char *format, ...)
{
    char line[700];
    int size = snprintf (line, sizeof line, "%" PRIu64 " ", fault_clock_us ());
    va_list arguments;
    va_start (arguments, format);
    int more = vsnprintf (line + size, sizeof line - (size_t) size - 1, format, arguments);
    va_end (arguments);
    size += more;
    if (size > (int) sizeof line - 2)
        size = (int) sizeof line - 2;
    line[size++] = '\n';
    if (write (self->fd, line, (size_t) size) != size) {
        perror ("the journal");
        _exit (1);
    }
}

uint64_t fault_clock_us (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}
