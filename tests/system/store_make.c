/* Makes a store for the tests of `leat store`, and may keep it in use until it is killed.
 * SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/store/workload.h"
#include "wire/crc32c.h"

/* usage: store_make DIR [--stay]
 *
 * A stream "corn" with 20 batches of ten records, each batch's body being "batch N of wheat", in which a
 * group "millers" has settled the first five batches and has parked a record. */

static bool s_anything (void *arg, leat_buffer_t *commit)
{
    (void) arg;
    (void) commit;
    return true;
}

static bool s_commit (leat_store_t *store, uint64_t id, const leat_operation_t *operations)
{
    leat_store_event_t event;
    leat_commit_t *commit = leat_commit_new (id, 0);
    for (; operations->id; operations++)
        leat_commit_add (commit, operations);
    leat_store_submit (store, &commit);
    return workload_wait (store, &event) && event.result == LEAT_COMMIT_OK;
}

static bool s_append (leat_store_t *store, uint64_t number)
{
    char text[40];
    int size = snprintf (text, sizeof text, "batch %d of wheat", (int) number);
    leat_operation_t operations[2] = { { .id = LEAT_OPERATION_APPEND }, { 0 } };
    leat_operation_append_t *append = &operations[0].append;
    append->stream = 1;
    append->first = 10 * number;
    append->count = 10;
    append->crc32c = leat_crc32c (text, (size_t) size);
    append->body = (leat_slice_t){ leat_buffer_copy (text, (size_t) size), 0, (size_t) size };
    bool good = s_commit (store, 2 + number, operations);
    leat_buffer_release (&append->body.buffer);
    return good;
}

static bool s_fill (leat_store_t *store)
{
    leat_operation_t create[3] = { { .id = LEAT_OPERATION_STREAM_CREATED },
                                   { .id = LEAT_OPERATION_GROUP_CREATED } };
    create[0].stream_created.stream = 1;
    create[0].stream_created.stream_name = leat_text ("corn");
    create[0].stream_created.durability = LEAT_SYNC;
    create[1].group_created.stream = 1;
    create[1].group_created.group = 1;
    create[1].group_created.group_name = leat_text ("millers");
    bool good = s_commit (store, 1, create);
    for (uint64_t i = 0; i < 20 && good; i++)
        good = s_append (store, i);
    leat_operation_t settle[8] = { { .id = LEAT_OPERATION_FLOOR },
                                   { .id = LEAT_OPERATION_PARKED } };
    settle[0].floor.stream = 1;
    settle[0].floor.group = 1;
    settle[0].floor.first = 50;
    settle[1].parked.stream = 1;
    settle[1].parked.group = 1;
    settle[1].parked.offset = 60;
    settle[1].parked.reason = leat_text ("no room");
    for (unsigned i = 0; i < 5; i++) {
        settle[2 + i].id = LEAT_OPERATION_TRIM;
        settle[2 + i].trim.stream = 1;
        settle[2 + i].trim.first = 10 * i;
        settle[2 + i].trim.count = 10;
    }
    return good && s_commit (store, 22, settle);
}

int main (int argc, char **argv)
{
    char error[600] = "";
    uint64_t incarnation;
    bool stay = argc == 3 && strcmp (argv[2], "--stay") == 0;
    if (argc < 2)
        return 2;
    leat_store_options_t options = { .path = argv[1], .size_max = UINT64_C (1) << 30 };
    leat_store_t *store = leat_store_open (&leat_store_lmdb, &options, error, sizeof error);
    bool good = store && leat_store_acquire (store, 1, &incarnation, error, sizeof error) == 0
                && leat_store_recover (store, s_anything, NULL, error, sizeof error) == 0
                && s_fill (store);
    if (good && stay && puts ("ready") > 0 && fflush (stdout) == 0)
        for (;;)
            pause ();
    leat_store_close (&store);
    if (!good)
        fprintf (stderr, "%s\n", error);
    return good ? 0 : 1;
}
