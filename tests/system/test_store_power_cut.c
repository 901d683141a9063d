/* Power cuts: every state that a disk may be in after one must hold all that was confirmed before.
 * SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/store/disk.h"
#include "tests/system/store/workload.h"
#include "tests/unit/store_place.h"
#include "wire/alloc.h"
#include "wire/assert.h"

/* The engine runs a load while all its writes and syncs are recorded, with a mark for each commit that was
 * told OK. Then its files are made anew as a power cut at some event could have left them:
 *
 *      write  write  sync  write  mark  write | cut
 *      \___ there ___/     \__ each of these whole, torn at sectors or missing, in any order
 *
 * A write through a descriptor with O_DSYNC is there once it has returned, and tells nothing of others;
 * a sync of one file tells nothing of the other. The engine opens the files, and what it finds must be the state after one of the commits: not before
 * the last one that was marked, and not behind the last one that was submitted. */

enum { COMMITS = 120, SECTOR = 512, WINDOW = 4, NOW_MS = 1700000000 };

typedef struct {
    char directory[300];
    uint64_t states[COMMITS + 1]; /* digest after each commit */
    struct {
        uint8_t *bytes; /* as they were when the recording began */
        size_t size;
    } files[DISK_FILES];
    uint64_t seed;
    unsigned cuts;
    bool without_sync; /* to see that this test sees */
} test_t;

/* A file as it may be. */
typedef struct {
    uint8_t *bytes;
    size_t size;
    size_t room;
} image_t;

static void s_put (image_t *image, uint64_t offset, const uint8_t *bytes, size_t size)
{
    size_t end = (size_t) offset + size;
    if (end > image->room) {
        image->room = 2 * end;
        image->bytes = leat_realloc (image->bytes, image->room);
    }
    if (end > image->size) {
        memset (image->bytes + image->size, 0, end - image->size);
        image->size = end;
    }
    memcpy (image->bytes + offset, bytes, size);
}

/* A write that nothing says is on the disk: all of it, nothing, or some sectors. */
static void s_put_perhaps (image_t *image, const disk_event_t *event, uint64_t *random)
{
    switch (workload_random (random, 3)) {
    case 0:
        return;
    case 1:
        s_put (image, event->offset, event->bytes, event->size);
        return;
    default:
        for (size_t done = 0; done < event->size;) {
            size_t size = SECTOR - (event->offset + done) % SECTOR;
            if (size > event->size - done)
                size = event->size - done;
            if (workload_random (random, 2))
                s_put (image, event->offset + done, event->bytes + done, size);
            done += size;
        }
    }
}

/* The last sync of the file before the cut; all writes before it are there. */
static size_t s_synced (const disk_event_t *events, disk_file_t file, size_t cut)
{
    while (cut && (events[cut - 1].kind != DISK_SYNC || events[cut - 1].file != file))
        cut--;
    return cut;
}

static void s_build (const test_t *test, image_t *image, disk_file_t file,
                     const disk_event_t *events, size_t cut, uint64_t *random)
{
    size_t synced = test->without_sync ? 0 : s_synced (events, file, cut);
    image->size = 0;
    s_put (image, 0, test->files[file].bytes, test->files[file].size);
    for (size_t i = 0; i < cut; i++) {
        const disk_event_t *event = &events[i];
        if (event->file != file)
            continue;
        if (event->kind == DISK_TRUNCATE && event->offset < image->size)
            image->size = (size_t) event->offset;
        if (event->kind != DISK_WRITE)
            continue;
        if (i < synced || event->durable)
            s_put (image, event->offset, event->bytes, event->size);
        else
            s_put_perhaps (image, event, random);
    }
    /* The write that was under way. */
    if (events[cut].kind == DISK_WRITE && events[cut].file == file)
        s_put_perhaps (image, &events[cut], random);
}

/* ---- the load -------------------------------------------------------------------------------- */

static int s_say (const char *what, const char *error)
{
    fprintf (stderr, "%s: %s\n", what, error);
    return -1;
}

static void s_keep_file (test_t *test, disk_file_t file)
{
    char path[400];
    struct stat status;
    snprintf (path, sizeof path, "%s/%s", test->directory, disk_names[file]);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    leat_assert (fd >= 0 && fstat (fd, &status) == 0);
    test->files[file].size = (size_t) status.st_size;
    test->files[file].bytes = leat_alloc (test->files[file].size);
    ssize_t size = read (fd, test->files[file].bytes, test->files[file].size);
    leat_assert (size == status.st_size);
    close (fd);
}

static bool s_nothing (void *arg, leat_buffer_t *commit)
{
    (void) arg;
    (void) commit;
    return false;
}

/* Up to WINDOW commits under way, so that transactions hold one or several. */
static int s_load (test_t *test, leat_store_t *store)
{
    workload_t *load = workload_new (test->seed);
    bool refused[COMMITS + 1] = { false };
    uint64_t told = 0;
    int code = 0;
    test->states[0] = workload_digest (load);
    for (uint64_t id = 1; id <= COMMITS + WINDOW && !code; id++) {
        if (id <= COMMITS) {
            leat_commit_t *commit = workload_next (load, id, &refused[id]);
            test->states[id] = workload_digest (load);
            leat_store_submit (store, &commit);
        }
        leat_store_event_t event;
        while (told < COMMITS && told + WINDOW < id && !code) {
            if (!workload_wait (store, &event) || event.id != ++told
                || event.result != (refused[told] ? LEAT_COMMIT_REFUSED : LEAT_COMMIT_OK))
                code = s_say ("a commit did not end as it should",
                              event.reason ? event.reason : "no reason");
            disk_mark (told);
        }
    }
    workload_destroy (&load);
    return code;
}

static int s_run (test_t *test)
{
    char error[512];
    uint64_t incarnation;
    snprintf (test->directory, sizeof test->directory, "%s", store_place ());
    leat_store_options_t options = { .path = test->directory,
                                     .commit_size_max = WORKLOAD_COMMIT_SIZE_MAX,
                                     .size_max = UINT64_C (1) << 30 };
    leat_store_t *store = leat_store_open (&leat_store_lmdb, &options, error, sizeof error);
    if (!store)
        return s_say ("open", error);
    for (disk_file_t file = DISK_DATA; file < DISK_FILES; file++)
        s_keep_file (test, file);
    disk_record ();
    int code = -1;
    if (leat_store_acquire (store, NOW_MS, &incarnation, error, sizeof error)
        || leat_store_recover (store, s_nothing, NULL, error, sizeof error))
        s_say ("acquire", error);
    else
        code = s_load (test, store);
    leat_store_close (&store);
    return code;
}

/* ---- the cuts -------------------------------------------------------------------------------- */

static int s_write_image (const test_t *test, disk_file_t file, const image_t *image)
{
    char path[400];
    snprintf (path, sizeof path, "%s/%s", test->directory, disk_names[file]);
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (size_t done = 0; good && done < image->size;) {
        ssize_t size = write (fd, image->bytes + done, image->size - done);
        good = size > 0;
        done += good ? (size_t) size : 0;
    }
    if (fd >= 0)
        close (fd);
    return good ? 0 : s_say (path, strerror (errno));
}

/* In a process of its own, which may crash. */
static bool s_examine (const test_t *test, uint64_t *digest)
{
    int fds[2];
    int status;
    int code = pipe (fds);
    leat_assert (code == 0);
    fflush (NULL);
    pid_t child = fork ();
    leat_assert (child >= 0);
    if (!child) {
        char error[512];
        bool good = workload_examine (test->directory, digest, error, sizeof error);
        if (!good)
            fprintf (stderr, "%s\n", error);
        good = good && write (fds[1], digest, sizeof *digest) == sizeof *digest;
        _exit (good ? 0 : 1);
    }
    close (fds[1]);
    bool good = read (fds[0], digest, sizeof *digest) == sizeof *digest;
    close (fds[0]);
    waitpid (child, &status, 0);
    if (WIFSIGNALED (status))
        fprintf (stderr, "the process ended by signal %d\n", WTERMSIG (status));
    return good && WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

static int s_cut (const test_t *test, image_t *image, const disk_event_t *events, size_t cut,
                  uint64_t random)
{
    uint64_t digest;
    uint64_t confirmed = 0;
    for (disk_file_t file = DISK_DATA; file < DISK_FILES; file++) {
        s_build (test, image, file, events, cut, &random);
        if (s_write_image (test, file, image))
            return -1;
    }
    for (size_t i = 0; i < cut; i++)
        if (events[i].kind == DISK_MARK)
            confirmed = events[i].offset;
    if (!s_examine (test, &digest)) {
        fprintf (stderr, "cut before event %zu, %llu commits confirmed: not to be recovered\n", cut,
                 (unsigned long long) confirmed);
        return -1;
    }
    uint64_t last = confirmed + 2 * WINDOW < COMMITS ? confirmed + 2 * WINDOW : COMMITS;
    for (uint64_t i = confirmed; i <= last; i++)
        if (test->states[i] == digest)
            return 0;
    fprintf (stderr,
             "cut before event %zu: what is there is not the state after commit %llu to %llu\n",
             cut, (unsigned long long) confirmed, (unsigned long long) last);
    return -1;
}

static int s_cuts (const test_t *test)
{
    size_t count;
    const disk_event_t *events = disk_events (&count);
    image_t image = { .bytes = leat_alloc (SECTOR), .room = SECTOR };
    uint64_t random = test->seed + 1;
    int failed = 0;
    for (unsigned i = 0; i < test->cuts; i++) {
        size_t cut = workload_random (&random, count);
        failed -= s_cut (test, &image, events, cut, workload_random (&random, UINT32_MAX) + 1);
    }
    free (image.bytes);
    printf ("seed %llu: %zu events, %u cuts, %d failed\n", (unsigned long long) test->seed, count,
            test->cuts, failed);
    return failed;
}

int main (int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                                             { "cuts", required_argument, NULL, 'n' },
                                             { "without-sync", no_argument, NULL, 'w' },
                                             { 0 } };
    test_t test = { .seed = 1, .cuts = 100 };
    int option;
    while ((option = getopt_long (argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            test.seed = strtoull (optarg, NULL, 10);
        else if (option == 'n')
            test.cuts = (unsigned) strtoul (optarg, NULL, 10);
        else if (option == 'w')
            test.without_sync = true;
        else
            return 2;
    }
    int failed = s_run (&test) ? 1 : 0;
    if (!failed)
        failed = s_cuts (&test);
    disk_forget ();
    for (disk_file_t file = DISK_DATA; file < DISK_FILES; file++)
        free (test.files[file].bytes);
    store_place_end ();
    /* Without syncs something must be lost, or this test would see nothing. */
    return test.without_sync ? !failed : failed != 0;
}
