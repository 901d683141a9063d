/* What an LMDB store may still take, and the blocks that it keeps so that it can become empty again. Private
 * to broker/store/lmdb*.c.
 * SPDX-License-Identifier: MPL-2.0 */
#ifndef LEAT_BROKER_STORE_LMDB_SPACE_H
#define LEAT_BROKER_STORE_LMDB_SPACE_H

#include "broker/store/lmdb_files.h"
#include "broker/store/lmdb_rows.h"

/*      0                             end of pages         end of blocks
 *      | rows, and pages that are free |  owned, not written yet  |      what others may take, too
 *       \____________________________ owned ____________________/
 *             used        \_______________ available ___________/
 *
 * Blocks behind the pages are allocated (fallocate, FALLOC_FL_KEEP_SIZE), so that nobody else gets
 * them: at least the reserve, and what the next transaction appends, before it is written. Where the
 * filesystem cannot do that, what it has free is available, as long as it has it.
 *
 * One thread: the writer's. */
typedef struct {
    const leat_lmdb_files_t *files;
    uint64_t reserve_min;
    uint64_t reserve_max;
    uint64_t used;      /* bytes of pages that rows take */
    uint64_t available; /* bytes that pages can still take */
    uint64_t total;     /* bytes that the store could take, if nobody else takes any */
    uint64_t reserve;   /* of the available ones, those for what frees space */
    uint64_t wanted;    /* available before the store is not full any more; 0: it is not */
    uint64_t owned_end; /* blocks up to there are the file's */
    bool shared;        /* the filesystem does not keep blocks for files */
} lmdb_space_t;

/* `reserve_size` is what the reserve is to be; 0: see lmdb_space.c. Nothing is allocated. */
void lmdb_space_begin (lmdb_space_t *self, const leat_lmdb_files_t *files, uint64_t reserve_size);

/* Looks at pages and blocks, at the beginning of a transaction that appends about `planned` bytes, and
 * allocates what is missing for these and the reserve. */
void lmdb_space_look (lmdb_space_t *self, const leat_lmdb_rows_t *rows, uint64_t planned);

/* Something that takes `size` bytes more was refused. */
void lmdb_space_miss (lmdb_space_t *self, uint64_t size);

/* Less than the reserve is available, or what was refused would be again. */
bool lmdb_space_full (const lmdb_space_t *self);

/* What the filesystem has free for anybody. */
uint64_t lmdb_space_free (const lmdb_space_t *self);

#endif
