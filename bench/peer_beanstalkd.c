/* Contender "beanstalkd": a tube of beanstalkd.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/peer_beanstalkd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peer.h"
#include "bench/server.h"
#include "wire/alloc.h"

/* Jobs whose puts are not answered; jobs of which several are reserved and deleted at once. */
#define S_WINDOW_MOST 2000
#define S_BATCH_MOST 100
#define S_BUFFER_SIZE ((size_t) 256 * 1024)

/* ---- what others do with it ------------------------------------------------------------------ */

int leat_bench_beanstalkd_run (leat_bench_round_t *round, int ready)
{
    static const char *const memory[] = {
        "-l", "127.0.0.1", "-p", "{PORT}", "-z", "2000000", NULL
    };
    static const char *const durable[] = { "-l",      "127.0.0.1", "-p",    "{PORT}", "-z",
                                           "2000000", "-b",        "{DIR}", "-f0",    NULL };
    const leat_bench_server_t server = { .program = "beanstalkd",
                                         .version = "-v",
                                         .arguments = round->plan.store ? durable : memory };
    return leat_bench_server_run (&server, round, ready);
}

bool leat_bench_beanstalkd_failed (leat_bench_beanstalkd_t *self, const char *what,
                                   const char *answer)
{
    const char *text = answer ? answer : "the connection ended";
    leat_bench_round_fail (self->round, "beanstalkd: %s: %.*s", what, (int) strcspn (text, "\r\n"),
                           text);
    return false;
}

bool leat_bench_beanstalkd_open (leat_bench_beanstalkd_t *self, leat_bench_round_t *round)
{
    *self = (leat_bench_beanstalkd_t){ .round = round };
    int in = leat_bench_server_connect (leat_bench_server_port (round));
    int out = in >= 0 ? fcntl (in, F_DUPFD_CLOEXEC, 0) : -1;
    self->in = in >= 0 ? fdopen (in, "r") : NULL;
    self->out = out >= 0 ? fdopen (out, "w") : NULL;
    if (!self->in || !self->out)
        return leat_bench_beanstalkd_failed (self, "cannot connect", strerror (errno));
    for (int i = 0; i < 2; i++) {
        self->buffers[i] = leat_alloc_raw (S_BUFFER_SIZE);
        setvbuf (i ? self->out : self->in, self->buffers[i], _IOFBF, S_BUFFER_SIZE);
    }
    return true;
}

void leat_bench_beanstalkd_close (leat_bench_beanstalkd_t *self)
{
    if (self->in)
        fclose (self->in);
    if (self->out)
        fclose (self->out);
    free (self->buffers[0]);
    free (self->buffers[1]);
}

bool leat_bench_beanstalkd_expect (leat_bench_beanstalkd_t *self, const char *wanted, char *line,
                                   size_t size)
{
    if (!fgets (line, (int) size, self->in))
        return leat_bench_beanstalkd_failed (self, wanted, NULL);
    if (strncmp (line, wanted, strlen (wanted)) != 0)
        return leat_bench_beanstalkd_failed (self, wanted, line);
    return true;
}

/* ---- the contender --------------------------------------------------------------------------- */

typedef struct {
    leat_bench_beanstalkd_t tube;
    uint8_t *body;
    unsigned window;
    unsigned unconfirmed;
    unsigned batch; /* how many are reserved at once */
    unsigned count; /* reserved, and not deleted yet */
    uint64_t jobs[S_BATCH_MOST];
} s_client_t;

static void s_close (void *client)
{
    s_client_t *self = client;
    leat_bench_beanstalkd_close (&self->tube);
    free (self->body);
    free (self);
}

static void *s_open (leat_bench_round_t *round, bool consumer)
{
    s_client_t *self = leat_alloc (sizeof *self);
    (void) consumer;
    self->window = leat_bench_peer_window (&round->plan, S_WINDOW_MOST);
    self->batch = 1;
    self->body = leat_alloc_raw (round->plan.size + 2);
    if (leat_bench_beanstalkd_open (&self->tube, round))
        return self;
    s_close (self);
    return NULL;
}

static bool s_push (void *client)
{
    s_client_t *self = client;
    return fflush (self->tube.out) == 0
           || leat_bench_beanstalkd_failed (&self->tube, "write", strerror (errno));
}

/* Until no more than that are unconfirmed. */
static bool s_await (s_client_t *self, unsigned unconfirmed)
{
    char line[128];
    bool good = s_push (self);
    for (; good && self->unconfirmed > unconfirmed; self->unconfirmed--)
        good = leat_bench_beanstalkd_expect (&self->tube, "INSERTED ", line, sizeof line);
    return good;
}

static bool s_flush (void *client)
{
    return s_await (client, 0);
}

static bool s_send (void *client, const uint8_t *body, size_t size)
{
    s_client_t *self = client;
    fprintf (self->tube.out, "put 0 0 600 %zu\r\n", size);
    fwrite (body, 1, size, self->tube.out);
    fwrite ("\r\n", 1, 2, self->tube.out);
    self->unconfirmed++;
    return self->unconfirmed < self->window || s_await (self, self->window / 2);
}

/* ---- the consumer ---------------------------------------------------------------------------- */

/* Asks to delete what was reserved, and reads that it is done. */
static void s_ask_delete (s_client_t *self)
{
    for (unsigned i = 0; i < self->count; i++)
        fprintf (self->tube.out, "delete %" PRIu64 "\r\n", self->jobs[i]);
}

static bool s_expect_delete (s_client_t *self)
{
    char line[128];
    bool good = true;
    for (unsigned i = 0; good && i < self->count; i++)
        good = leat_bench_beanstalkd_expect (&self->tube, "DELETED", line, sizeof line);
    self->count = 0;
    return good;
}

/* Reads the answer to a reserve, which brings a job or none; false after a failure. */
static bool s_take (s_client_t *self, leat_bench_sink_t *sink)
{
    char line[128];
    if (!fgets (line, sizeof line, self->tube.in))
        return leat_bench_beanstalkd_failed (&self->tube, "reserve", NULL);
    if (strncmp (line, "TIMED_OUT", 9) == 0)
        return true;
    if (strncmp (line, "RESERVED ", 9) != 0)
        return leat_bench_beanstalkd_failed (&self->tube, "reserve", line);
    char *rest;
    uint64_t job = strtoull (line + 9, &rest, 10);
    size_t size = strtoull (rest, NULL, 10);
    if (size != sink->size || fread (self->body, 1, size + 2, self->tube.in) != size + 2)
        return leat_bench_beanstalkd_failed (&self->tube, "reserve", line);
    self->jobs[self->count++] = job;
    if (!sink->done)
        leat_bench_sink_check (sink, self->body, size);
    return true;
}

/* Deletes what came before and reserves several, of which only the first waits: with nothing ready the
 * others end at once. Fewer are asked for when that happens, twice as many when it does not. */
static bool s_receive (void *client, leat_bench_sink_t *sink)
{
    s_client_t *self = client;
    unsigned batch = self->batch;
    s_ask_delete (self);
    fputs ("reserve-with-timeout 1\r\n", self->tube.out);
    for (unsigned i = 1; i < batch; i++)
        fputs ("reserve-with-timeout 0\r\n", self->tube.out);
    bool good = s_push (self) && s_expect_delete (self);
    for (unsigned i = 0; good && i < batch; i++)
        good = s_take (self, sink);
    if (self->count == batch)
        self->batch = 2 * batch < S_BATCH_MOST ? 2 * batch : S_BATCH_MOST;
    else
        self->batch = self->count ? self->count : 1;
    return good && !sink->done;
}

static bool s_settle (void *client)
{
    s_client_t *self = client;
    s_ask_delete (self);
    return s_push (self) && s_expect_delete (self);
}

static const leat_bench_peer_t s_peer = { .open = s_open,
                                          .close = s_close,
                                          .send = s_send,
                                          .push = s_push,
                                          .flush = s_flush,
                                          .receive = s_receive,
                                          .settle = s_settle };

LEAT_BENCH_PEER_ROLES (beanstalkd, s_peer)

#define S_ROLES                                                                                    \
    .name = "beanstalkd", .server = "beanstalkd", .library = "a client of ours",                   \
    .roles = { leat_bench_beanstalkd_run, s_beanstalkd_consumer, s_beanstalkd_producer }

const leat_bench_contender_t leat_bench_beanstalkd = {
    S_ROLES,
    .about = "beanstalkd, puts pipelined, up to 100 jobs reserved and deleted in one write",
    .promise = "each job answered, and deleted; not on the disk",
};

const leat_bench_contender_t leat_bench_beanstalkd_durable = {
    S_ROLES,
    .about = "beanstalkd as for throughput, -b DIR -f0",
    .promise = "synced before each answer, to put and delete alike, one by one",
};
