/* Reads a file, pipe or terminal in big blocks and cuts it at a delimiter.
 * SPDX-License-Identifier: MPL-2.0 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/lines.h"
#include "wire/alloc.h"
#include "wire/assert.h"

/*      bytes
 *      |  given out  |  read, not given out  |  free  |
 *      0           begin       ^            end     size
 *                           scanned: no delimiter before it
 *
 * Before each read what was not given out moves to the front; that is usually less than a line, so
 * nearly every byte stays where read(2) put it. */
struct leat_lines {
    int fd;
    char *delimiter;
    size_t delimiter_size; /* 0: the whole file */
    size_t size_max;       /* bytes of a line */
    char *bytes;
    size_t size;
    size_t begin;
    size_t scanned;
    size_t end;
    bool may_block;  /* not a regular file: ask poll(2) before a read */
    bool readable;   /* poll(2) said so */
    bool at_end;     /* read(2) has returned 0 */
    uint64_t count;  /* lines given out */
    uint64_t so_far; /* bytes read */
};

enum { BLOCK_SIZE = 1 << 20, REST_SIZE = 1 << 16 };

leat_lines_t *leat_lines_new (int fd, leat_text_t delimiter, size_t size_max)
{
    leat_lines_t *self = leat_alloc (sizeof *self);
    self->fd = fd;
    self->delimiter = leat_copy_text (delimiter.data, delimiter.size);
    self->delimiter_size = delimiter.size;
    self->size_max = size_max;
    self->size = (size_t) 2 * BLOCK_SIZE;
    self->bytes = leat_alloc_raw (self->size);
    struct stat status;
    self->may_block = fstat (fd, &status) != 0 || !S_ISREG (status.st_mode);
    return self;
}

void leat_lines_destroy (leat_lines_t **self_p)
{
    leat_lines_t *self = *self_p;
    if (!self)
        return;
    free (self->delimiter);
    free (self->bytes);
    free (self);
    *self_p = NULL;
}

uint64_t leat_lines_count (const leat_lines_t *self)
{
    return self->count;
}

uint64_t leat_lines_bytes (const leat_lines_t *self)
{
    return self->so_far;
}

/* At least a block of room behind `end`. A short rest of a line moves to the front in any case, so
 * that the same memory stays in the cache; a long one only when it must. */
static void s_make_room (leat_lines_t *self)
{
    size_t rest = self->end - self->begin;
    if (rest > REST_SIZE && self->size - self->end >= BLOCK_SIZE)
        return;
    memmove (self->bytes, self->bytes + self->begin, rest);
    self->scanned -= self->begin;
    self->begin = 0;
    self->end = rest;
    if (self->size - self->end < BLOCK_SIZE) {
        self->size *= 2;
        self->bytes = leat_realloc (self->bytes, self->size);
    }
}

/* LINE if more bytes are there or the end was reached. */
static leat_lines_result_t s_read (leat_lines_t *self)
{
    if (self->may_block && !self->readable) {
        struct pollfd item = { .fd = self->fd, .events = POLLIN };
        if (poll (&item, 1, 0) == 0)
            return LEAT_LINES_PENDING;
    }
    self->readable = false;
    s_make_room (self);
    ssize_t size = read (self->fd, self->bytes + self->end, BLOCK_SIZE);
    if (size < 0)
        return errno == EINTR || errno == EAGAIN ? LEAT_LINES_PENDING : LEAT_LINES_ERROR;
    if (size == 0)
        self->at_end = true;
    self->end += (size_t) size;
    self->so_far += (uint64_t) size;
    return LEAT_LINES_LINE;
}

/* The first delimiter that is not before `scanned`, NULL if there is none. */
static const char *s_find (leat_lines_t *self)
{
    const char *from = self->bytes + self->scanned;
    size_t size = self->end - self->scanned;
    if (self->delimiter_size == 1)
        return memchr (from, self->delimiter[0], size);
    if (self->delimiter_size == 0)
        return NULL;
    return memmem (from, size, self->delimiter, self->delimiter_size);
}

static leat_lines_result_t s_give (leat_lines_t *self, leat_text_t *line, size_t size, size_t skip)
{
    if (size > self->size_max)
        return LEAT_LINES_TOO_LONG;
    *line = (leat_text_t){ .data = self->bytes + self->begin, .size = size };
    self->begin += size + skip;
    self->scanned = self->begin;
    self->count++;
    return LEAT_LINES_LINE;
}

leat_lines_result_t leat_lines_next (leat_lines_t *self, leat_text_t *line)
{
    for (;;) {
        const char *found = s_find (self);
        if (found)
            return s_give (self, line, (size_t) (found - (self->bytes + self->begin)),
                           self->delimiter_size);
        size_t rest = self->end - self->begin;
        if (self->at_end) {
            /* An empty file is one empty record when files are taken whole. */
            if (rest || (!self->delimiter_size && !self->count))
                return s_give (self, line, rest, 0);
            return LEAT_LINES_END;
        }
        /* A delimiter of several bytes may have begun at the end. */
        if (rest >= self->delimiter_size && self->delimiter_size)
            self->scanned = self->end - (self->delimiter_size - 1);
        if (rest > self->size_max + self->delimiter_size)
            return LEAT_LINES_TOO_LONG;
        leat_lines_result_t result = s_read (self);
        if (result != LEAT_LINES_LINE)
            return result;
    }
}

bool leat_lines_wait (leat_lines_t *self, int stop_fd, int timeout_ms)
{
    struct pollfd items[] = {
        { .fd = self->fd, .events = POLLIN },
        { .fd = stop_fd, .events = POLLIN },
    };
    if (poll (items, 2, timeout_ms) < 0)
        leat_assert (errno == EINTR);
    else if (!items[1].revents && items[0].revents)
        self->readable = true;
    return self->readable;
}
