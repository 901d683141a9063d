/* Values for the fields of commands and operations, and a second writer of the wire format, simple
 * and written apart from the codec, to compare its bytes with.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_TESTS_UNIT_WIRE_SAMPLE_H
#define LEAT_TESTS_UNIT_WIRE_SAMPLE_H

#include <stdlib.h>
#include <string.h>

#include "wire/command.h"

typedef enum { SMALLEST, LARGEST, RANDOM } sample_how_t;

enum { SAMPLE_BYTES_MAX = 128 * 1024, SAMPLE_RANDOM_ENTRIES_MAX = 5, SAMPLE_RANDOM_TEXT_MAX = 20 };

typedef struct {
    uint64_t state;
    sample_how_t how;         /* of all fields but one */
    int special;              /* index of that one, or -1 */
    sample_how_t special_how; /* of that one */
    int index;                /* of the next field */
    size_t blob_max;          /* what LARGEST means for a BLOB */
    leat_range_t ranges[LEAT_ENTRIES_MAX];
    leat_settle_entry_t settles[LEAT_ENTRIES_MAX];
    char text[SAMPLE_BYTES_MAX];     /* what texts are views of */
    uint8_t bytes[SAMPLE_BYTES_MAX]; /* what the second writer wrote */
    size_t size;
} sample_t;

/* splitmix64 */
static inline uint64_t sample_random (sample_t *self)
{
    uint64_t value = self->state += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline sample_t *sample_new (uint64_t seed)
{
    sample_t *self = calloc (1, sizeof *self);
    self->state = seed;
    self->special = -1;
    for (size_t index = 0; index < sizeof self->text; index++)
        self->text[index] = (char) sample_random (self);
    return self;
}

/* Before each structure that is filled. */
static inline void sample_begin (sample_t *self, sample_how_t how, int special,
                                 sample_how_t special_how)
{
    self->how = how;
    self->special = special;
    self->special_how = special_how;
    self->index = 0;
}

static inline sample_how_t sample_how (sample_t *self)
{
    return self->index++ == self->special ? self->special_how : self->how;
}

static inline uint64_t sample_pick (sample_t *self, sample_how_t how, uint64_t smallest,
                                    uint64_t largest)
{
    if (how != RANDOM)
        return how == SMALLEST ? smallest : largest;
    uint64_t width = largest - smallest + 1;
    return width ? smallest + sample_random (self) % width : sample_random (self);
}

static inline uint64_t sample_number (sample_t *self, uint64_t largest)
{
    return sample_pick (self, sample_how (self), 0, largest);
}

static inline leat_text_t sample_text (sample_t *self, size_t largest)
{
    sample_how_t how = sample_how (self);
    size_t most =
        how == RANDOM && largest > SAMPLE_RANDOM_TEXT_MAX ? SAMPLE_RANDOM_TEXT_MAX : largest;
    size_t size = sample_pick (self, how, 0, most);
    size_t start = sample_random (self) % (sizeof self->text - largest);
    return (leat_text_t){ self->text + start, size };
}

static inline uint32_t sample_entries (sample_t *self, sample_how_t how)
{
    return (uint32_t) sample_pick (self, how, 0,
                                   how == RANDOM ? SAMPLE_RANDOM_ENTRIES_MAX : LEAT_ENTRIES_MAX);
}

/* One range that ends at 2^63 at most. */
static inline leat_range_t sample_range (sample_t *self, sample_how_t how)
{
    uint32_t count = (uint32_t) sample_pick (self, how, 1, UINT32_MAX);
    return (leat_range_t){
        .epoch = sample_pick (self, how, 0, UINT64_MAX),
        .first = sample_pick (self, how, 0, ((uint64_t) 1 << 63) - count),
        .count = count,
    };
}

static inline leat_ranges_t sample_ranges (sample_t *self)
{
    sample_how_t how = sample_how (self);
    uint32_t count = sample_entries (self, how);
    for (uint32_t index = 0; index < count; index++)
        self->ranges[index] = sample_range (self, how);
    return (leat_ranges_t){ .count = count, .entries = self->ranges };
}

static inline leat_settles_t sample_settles (sample_t *self)
{
    sample_how_t how = sample_how (self);
    uint32_t count = sample_entries (self, how);
    for (uint32_t index = 0; index < count; index++) {
        leat_range_t range = sample_range (self, how);
        self->settles[index] = (leat_settle_entry_t){
            .epoch = range.epoch,
            .first = range.first,
            .count = range.count,
            .delay_ms = (uint32_t) sample_pick (self, how, 0, UINT32_MAX),
            .outcome = (uint8_t) sample_pick (self, how, LEAT_ACK, LEAT_REJECT),
        };
    }
    return (leat_settles_t){ .count = count, .entries = self->settles };
}

/* --- the second writer ------------------------------------------------------------------------- */

static inline void sample_put (sample_t *self, uint64_t value, size_t width)
{
    for (size_t index = 0; index < width; index++)
        self->bytes[self->size++] = (uint8_t) (value >> (8 * index));
}

static inline void sample_put_text (sample_t *self, leat_text_t text, size_t width)
{
    sample_put (self, text.size, width);
    for (size_t index = 0; index < text.size; index++)
        self->bytes[self->size++] = (uint8_t) text.data[index];
}

static inline void sample_put_ranges (sample_t *self, const leat_ranges_t *list)
{
    sample_put (self, list->count, 2);
    for (uint32_t index = 0; index < list->count; index++) {
        sample_put (self, list->entries[index].epoch, 8);
        sample_put (self, list->entries[index].first, 8);
        sample_put (self, list->entries[index].count, 4);
    }
}

static inline void sample_put_settles (sample_t *self, const leat_settles_t *list)
{
    sample_put (self, list->count, 2);
    for (uint32_t index = 0; index < list->count; index++) {
        sample_put (self, list->entries[index].epoch, 8);
        sample_put (self, list->entries[index].first, 8);
        sample_put (self, list->entries[index].count, 4);
        sample_put (self, list->entries[index].delay_ms, 4);
        sample_put (self, list->entries[index].outcome, 1);
    }
}

#endif
