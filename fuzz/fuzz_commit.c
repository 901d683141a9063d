/* Any bytes into the reader of commits; a commit that can be read must encode to the same bytes.
 * SPDX-License-Identifier: MPL-2.0 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "wire/assert.h"
#include "wire/commit.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    leat_buffer_t *buffer = leat_buffer_copy (data, size);
    leat_commit_reader_t reader;
    if (leat_commit_read (&reader, buffer) == LEAT_OK) {
        leat_commit_t *commit = leat_commit_new (reader.id, reader.chain);
        leat_code_t code = LEAT_OK;
        while (reader.left > 0 && code == LEAT_OK) {
            leat_operation_t operation;
            code = leat_commit_read_operation (&reader, &operation);
            if (code == LEAT_OK)
                leat_commit_add (commit, &operation);
        }
        if (code == LEAT_OK && leat_commit_read_end (&reader) == LEAT_OK) {
            leat_buffer_t *again = leat_commit_encode (commit);
            leat_assert (leat_buffer_size (again) == size);
            leat_assert (memcmp (leat_buffer_bytes (again), data, size) == 0);
            leat_buffer_release (&again);
        }
        leat_commit_destroy (&commit);
    }
    leat_buffer_release (&buffer);
    return 0;
}
