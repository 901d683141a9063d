/* A durable stream, LMDB alone and a plain file, in turn.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/durable_round.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/leat.h"
#include "bench/peer_beanstalkd.h"
#include "bench/peer_nats.h"
#include "bench/peer_rabbitmq.h"
#include "bench/peer_redis.h"
#include "bench/records.h"
#include "bench/row_log.h"
#include "bench/singly.h"
#include "bench/statistics.h"
#include "broker/store/lmdb_files.h"
#include "broker/store/rows.h"
#include "cli/message.h"
#include "wire/alloc.h"

/* For each step that waits for the broker. */
#define S_TIMEOUT_MS 60000
/* Of one way that is measured one at a time; that takes a minute at 10 us. */
#define S_SAMPLES_MAX (UINT64_C (1) << 20)

const leat_bench_contender_t leat_bench_lmdb = {
    .name = "lmdb",
    .about = "the transactions of leat's round, replayed; one at a time a transaction with a row",
};

const leat_bench_contender_t leat_bench_file = {
    .name = "file",
    .about = "as many bytes, written and synced by the MiB; one at a time a block of 4096 bytes",
};

const leat_bench_contender_t *const leat_bench_durable_contenders[] = {
    &leat_bench_leat,
    &leat_bench_lmdb,
    &leat_bench_file,
#ifdef LEAT_WITH_REDIS
    &leat_bench_redis_durable,
#endif
#ifdef LEAT_WITH_NATS
    &leat_bench_jetstream_durable,
#endif
#ifdef LEAT_WITH_RABBITMQ
    &leat_bench_rabbitmq_durable,
#endif
    &leat_bench_beanstalkd_durable,
    NULL,
};

/* What a child that measures the disk is told. */
typedef struct {
    leat_bench_round_t *round; /* shared */
    char path[LEAT_BENCH_FOLDER_PATH];
    const leat_bench_row_log_t *log; /* shared */
    uint64_t from_ns;
    uint64_t until_ns;
    uint64_t size;               /* bytes for the file */
    leat_bench_replay_t *replay; /* shared */
} s_job_t;

/* ---- one at a time --------------------------------------------------------------------------- */

static bool s_send_and_wait (void *arg, const uint8_t *body, size_t size)
{
    return leat_producer_send (arg, body, size) == 0
           && leat_producer_flush (arg, S_TIMEOUT_MS) == 0;
}

static int s_produce_singly (leat_bench_round_t *round, int ready)
{
    leat_client_t *client = leat_bench_client_new (round, round->front, NULL);
    if (!client)
        return 1;
    leat_producer_t *producer = leat_producer_new (client, round->stream, NULL);
    uint64_t known;
    int rc = 1;
    if (producer && leat_producer_known (producer, &known, S_TIMEOUT_MS) == 0) {
        leat_bench_ready (ready);
        leat_bench_source_t source;
        leat_bench_source_begin (&source, round);
        uint8_t *body = leat_alloc_raw (round->plan.size);
        rc = leat_bench_send_singly (&source, body, s_send_and_wait, producer) ? 0 : 1;
        free (body);
        leat_bench_source_end (&source);
    }
    if (rc)
        leat_bench_producer_failed (round, producer, "cannot send and have it confirmed");
    leat_producer_destroy (&producer);
    leat_client_destroy (&client);
    return rc;
}

static int s_put_one (leat_lmdb_files_t *files, uint64_t number, size_t size, const uint8_t *body)
{
    leat_key_t key = leat_key_numbered ('B', 1, number);
    MDB_val at = { key.size, key.bytes };
    MDB_val value = { size, (void *) body };
    MDB_txn *txn;
    int code = mdb_txn_begin (files->env, NULL, 0, &txn);
    if (code)
        return code;
    code = mdb_put (txn, files->dbi, &at, &value, 0);
    if (!code)
        return mdb_txn_commit (txn);
    mdb_txn_abort (txn);
    return code;
}

static int s_lmdb_singly (void *arg, int ready)
{
    const s_job_t *job = arg;
    leat_bench_round_t *round = job->round;
    leat_lmdb_files_t files;
    const leat_store_options_t options = { .path = job->path };
    char error[512];
    if (leat_lmdb_files_open (&files, &options, LEAT_LMDB_BROKER, error, sizeof error)) {
        leat_bench_round_fail (round, "%s", error);
        return 1;
    }
    leat_bench_ready (ready);
    uint8_t *body = leat_alloc (round->plan.size);
    uint64_t end_ns = leat_bench_now_ns () + round->plan.measure_ns;
    uint64_t start_ns;
    int code;
    do {
        start_ns = leat_bench_now_ns ();
        memcpy (body, &start_ns, sizeof start_ns);
        code = s_put_one (&files, round->samples_count, round->plan.size, body);
    } while (!code && leat_bench_sample_singly (round, start_ns, end_ns));
    free (body);
    leat_lmdb_files_close (&files);
    if (code)
        leat_bench_round_fail (round, "LMDB: %s", leat_lmdb_text (code));
    return code != 0;
}

/* ---- a file ---------------------------------------------------------------------------------- */

static int s_open_file (const s_job_t *job)
{
    int fd = open (job->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        leat_bench_round_fail (job->round, "cannot make %s: %s", job->path, strerror (errno));
    return fd;
}

static bool s_write_block (leat_bench_round_t *round, int fd, const uint8_t *block, size_t size)
{
    ssize_t written = write (fd, block, size);
    if (written == (ssize_t) size && fdatasync (fd) == 0)
        return true;
    leat_bench_round_fail (round, "cannot write and sync: %s",
                           written >= 0 && written < (ssize_t) size ? "it was cut short"
                                                                    : strerror (errno));
    return false;
}

static int s_file_singly (void *arg, int ready)
{
    const s_job_t *job = arg;
    leat_bench_round_t *round = job->round;
    int fd = s_open_file (job);
    if (fd < 0)
        return 1;
    leat_bench_ready (ready);
    uint8_t *block = leat_alloc (LEAT_BENCH_FILE_SINGLE);
    uint64_t end_ns = leat_bench_now_ns () + round->plan.measure_ns;
    uint64_t start_ns;
    bool good;
    do {
        start_ns = leat_bench_now_ns ();
        memcpy (block, &start_ns, sizeof start_ns);
        good = s_write_block (round, fd, block, LEAT_BENCH_FILE_SINGLE);
    } while (good && leat_bench_sample_singly (round, start_ns, end_ns));
    free (block);
    close (fd);
    return good ? 0 : 1;
}

static int s_file_many (void *arg, int ready)
{
    const s_job_t *job = arg;
    leat_bench_round_t *round = job->round;
    int fd = s_open_file (job);
    if (fd < 0)
        return 1;
    leat_bench_ready (ready);
    uint8_t *block = leat_alloc (LEAT_BENCH_FILE_MANY);
    uint64_t start_ns = leat_bench_now_ns ();
    bool good = true;
    for (uint64_t left = job->size; good && left;) {
        size_t size = left < LEAT_BENCH_FILE_MANY ? (size_t) left : LEAT_BENCH_FILE_MANY;
        memcpy (block, &left, sizeof left);
        good = s_write_block (round, fd, block, size);
        left -= size;
    }
    round->elapsed_ns = leat_bench_now_ns () - start_ns;
    free (block);
    close (fd);
    return good ? 0 : 1;
}

/* ---- LMDB, many ------------------------------------------------------------------------------ */

static int s_lmdb_many (void *arg, int ready)
{
    const s_job_t *job = arg;
    char error[512];
    leat_bench_ready (ready);
    if (leat_bench_row_log_replay (job->log, job->path, job->from_ns, job->until_ns, job->replay,
                                   error, sizeof error))
        return 0;
    leat_bench_round_fail (job->round, "%s", error);
    return 1;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static leat_bench_round_t *s_round_new (const leat_bench_durable_t *self,
                                        const leat_store_options_t *store, uint64_t samples_max)
{
    leat_bench_round_t *round = leat_bench_round_new (&self->plan, samples_max);
    if (!round) {
        leat_message (self->name, "no memory to share: %s", strerror (errno));
        return NULL;
    }
    round->plan.store = store;
    snprintf (round->stream, sizeof round->stream, "bench.%ld", (long) getpid ());
    return round;
}

/* Ends a round with whatever it had left; says what went wrong. */
static bool s_finish (const leat_bench_durable_t *self, const char *name, leat_bench_round_t *round,
                      bool good)
{
    leat_bench_processes_end (self->processes, round);
    char cleared[LEAT_BENCH_FOLDER_PATH];
    leat_bench_folder_clear (self->folder, name, cleared);
    good = good && !round->error[0];
    if (!good)
        leat_message (self->name, "%s: %s", name,
                      round->error[0] ? round->error : "it was not over in time");
    return good;
}

/* Runs one process until it has ended. */
static bool s_run_job (const leat_bench_durable_t *self, const char *name,
                       leat_bench_process_fn *run, s_job_t *job)
{
    leat_bench_folder_clear (self->folder, name, job->path);
    bool good = leat_bench_processes_start (self->processes, name, run, job, job->round) >= 0
                && leat_bench_processes_wait (
                    self->processes, 0, leat_bench_now_ns () + self->plan.timeout_ns, job->round);
    return s_finish (self, name, job->round, good);
}

static void s_progress (const leat_bench_durable_t *self, const char *name, bool singly)
{
    char text[64];
    snprintf (text, sizeof text, "%s%s", name, singly ? ", one at a time" : "");
    self->progress (self->arg, text);
}

/* The turns in which they are played: Leat first, since others do what it did. Returns how many. */
static unsigned s_order (const leat_bench_durable_t *self,
                         unsigned order[LEAT_BENCH_CONTENDERS_MAX])
{
    int leat = leat_bench_contenders_index (self->contenders, &leat_bench_leat);
    unsigned count = 0;
    if (leat >= 0)
        order[count++] = (unsigned) leat;
    for (unsigned turn = 0; turn < self->contenders->count; turn++)
        if ((int) turn != leat)
            order[count++] = turn;
    return count;
}

/* ---- many records ---------------------------------------------------------------------------- */

/* A contender with roles: its own broker with files of its own. */
static bool s_broker_many (const leat_bench_durable_t *self,
                           const leat_bench_contender_t *contender, leat_bench_row_log_t *log,
                           leat_bench_durable_many_t *found, unsigned turn, s_job_t *job)
{
    char path[LEAT_BENCH_FOLDER_PATH];
    const leat_store_observer_t observer = leat_bench_row_log_observer (log);
    const leat_store_options_t store = { .path = path, .observer = &observer };
    leat_bench_folder_clear (self->folder, contender->name, path);
    leat_bench_round_t *round = s_round_new (self, &store, 0);
    if (!round)
        return false;
    bool good = leat_bench_processes_run (self->processes, contender, round);
    good = s_finish (self, contender->name, round, good);
    found->records[turn] = round->sent;
    memcpy (found->version[turn], round->version, sizeof found->version[turn]);
    found->elapsed_ns[turn] = round->settled_ns - round->began_ns;
    memcpy (found->cpu_ns[turn], round->cpu_ns, sizeof found->cpu_ns[turn]);
    if (contender == &leat_bench_leat) {
        job->from_ns = round->began_ns;
        job->until_ns = round->settled_ns;
        job->size = round->sent * self->plan.size;
    }
    leat_bench_round_destroy (&round);
    return good;
}

/* One that does what Leat did. */
static bool s_job_many (const leat_bench_durable_t *self, const leat_bench_contender_t *contender,
                        leat_bench_durable_many_t *found, unsigned turn, s_job_t *job)
{
    bool lmdb = contender == &leat_bench_lmdb;
    job->round = s_round_new (self, NULL, 0);
    bool good =
        job->round && s_run_job (self, contender->name, lmdb ? s_lmdb_many : s_file_many, job);
    if (good) {
        int leat = leat_bench_contenders_index (self->contenders, &leat_bench_leat);
        found->records[turn] = found->records[leat];
        found->elapsed_ns[turn] = lmdb ? job->replay->elapsed_ns : job->round->elapsed_ns;
        found->cpu_ns[turn][LEAT_BENCH_MIDDLE] =
            leat_bench_processes_usage (self->processes, 0).cpu_ns;
        found->transactions = job->replay->transactions;
        found->rows = job->replay->rows;
    }
    leat_bench_round_destroy (&job->round);
    return good;
}

bool leat_bench_durable_many (const leat_bench_durable_t *self, leat_bench_durable_many_t *found)
{
    leat_bench_row_log_t *log = leat_bench_row_log_new ();
    leat_bench_replay_t *replay = leat_bench_shared_new (sizeof *replay);
    s_job_t job = { .log = log, .replay = replay };
    bool good = log && replay;
    if (!good)
        leat_message (self->name, "no memory to share: %s", strerror (errno));
    unsigned order[LEAT_BENCH_CONTENDERS_MAX];
    unsigned count = s_order (self, order);
    for (unsigned i = 0; good && i < count; i++) {
        const leat_bench_contender_t *contender = self->contenders->list[order[i]];
        s_progress (self, contender->name, false);
        good = contender->roles[LEAT_BENCH_PRODUCER]
                   ? s_broker_many (self, contender, log, found, order[i], &job)
                   : s_job_many (self, contender, found, order[i], &job);
    }
    leat_bench_shared_destroy (replay, sizeof *replay);
    leat_bench_row_log_destroy (&log);
    return good;
}

/* ---- one at a time --------------------------------------------------------------------------- */

static void s_keep (leat_bench_durable_single_t *found, unsigned turn, leat_bench_round_t *round)
{
    size_t count = round->samples_count;
    found->p50_us[turn] = (double) leat_bench_percentile (round->samples, count, 500) / 1e3;
    found->p90_us[turn] = (double) leat_bench_percentile (round->samples, count, 900) / 1e3;
    found->p99_us[turn] = (double) leat_bench_percentile (round->samples, count, 990) / 1e3;
}

typedef struct {
    leat_bench_role_fn *role;
    leat_bench_round_t *round;
} s_play_t;

static int s_play (void *arg, int ready)
{
    s_play_t *self = arg;
    return self->role (self->round, ready);
}

/* The consumer comes when all is confirmed, so that a commit has a record and nothing else. */
static bool s_broker_single (const leat_bench_durable_t *self,
                             const leat_bench_contender_t *contender, leat_bench_round_t *round)
{
    leat_bench_processes_t *processes = self->processes;
    char path[LEAT_BENCH_FOLDER_PATH];
    const leat_store_options_t store = { .path = path };
    s_play_t middle = { contender->roles[LEAT_BENCH_MIDDLE], round };
    s_play_t consumer = { contender->roles[LEAT_BENCH_CONSUMER], round };
    s_play_t producer = { contender == &leat_bench_leat ? s_produce_singly
                                                        : contender->roles[LEAT_BENCH_PRODUCER],
                          round };
    leat_bench_folder_clear (self->folder, contender->name, path);
    round->plan.store = &store;
    round->plan.singly = true;
    uint64_t deadline_ns = leat_bench_now_ns () + self->plan.timeout_ns;
    bool good = leat_bench_processes_start (processes, "middle", s_play, &middle, round) >= 0
                && leat_bench_processes_start (processes, "producer", s_play, &producer, round) >= 0
                && leat_bench_processes_wait (processes, 1, deadline_ns, round)
                && leat_bench_processes_start (processes, "consumer", s_play, &consumer, round) >= 0
                && leat_bench_processes_wait (processes, 2, deadline_ns, round);
    round->plan.store = NULL;
    if (good && !round->complete)
        leat_bench_round_fail (round, "the last record never came");
    return s_finish (self, contender->name, round, good);
}

bool leat_bench_durable_single (const leat_bench_durable_t *self,
                                leat_bench_durable_single_t *found)
{
    uint64_t records = self->plan.records;
    unsigned order[LEAT_BENCH_CONTENDERS_MAX];
    unsigned count = s_order (self, order);
    bool good = true;
    for (unsigned i = 0; good && i < count; i++) {
        const leat_bench_contender_t *contender = self->contenders->list[order[i]];
        leat_bench_round_t *round =
            s_round_new (self, NULL, records && records < S_SAMPLES_MAX ? records : S_SAMPLES_MAX);
        if (!round)
            return false;
        round->plan.records = 0; /* time decides, or that samples_max is reached */
        s_job_t job = { .round = round };
        s_progress (self, contender->name, true);
        if (contender == &leat_bench_lmdb)
            good = s_run_job (self, contender->name, s_lmdb_singly, &job);
        else if (contender == &leat_bench_file)
            good = s_run_job (self, contender->name, s_file_singly, &job);
        else
            good = s_broker_single (self, contender, round);
        if (good)
            s_keep (found, order[i], round);
        leat_bench_round_destroy (&round);
    }
    return good;
}
