/* Many producers and as many consumers in two processes.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/swarm.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bench/bodies.h"
#include "bench/leat.h"
#include "bench/records.h"
#include "bench/sockets.h"
#include "wire/alloc.h"
#include "wire/assert.h"

#define S_TIMEOUT_MS 30000
#define S_SHARED_SIZE ((size_t) 256 << 20)
#define S_WINDOW_MIN ((size_t) 256 << 10)
#define S_WINDOW_MAX ((size_t) 32 << 20)
#define S_STACK_SIZE ((size_t) 512 << 10)

static size_t s_size (const leat_bench_shape_t *shape)
{
    return sizeof (leat_bench_swarm_t) + shape->producers * sizeof (leat_bench_lane_t);
}

leat_bench_swarm_t *leat_bench_swarm_new (leat_bench_round_t *round,
                                          const leat_bench_shape_t *shape)
{
    leat_assert (shape->streams <= shape->producers && shape->streams <= shape->consumers);
    leat_bench_swarm_t *self = leat_bench_shared_new (s_size (shape));
    if (!self)
        return NULL;
    self->round = round;
    self->shape = *shape;
    self->go = eventfd (0, EFD_CLOEXEC);
    self->drain = eventfd (0, EFD_CLOEXEC);
    if (self->go < 0 || self->drain < 0)
        leat_bench_swarm_destroy (&self);
    return self;
}

void leat_bench_swarm_destroy (leat_bench_swarm_t **self_p)
{
    leat_bench_swarm_t *self = *self_p;
    if (!self)
        return;
    if (self->go >= 0)
        close (self->go);
    if (self->drain >= 0)
        close (self->drain);
    leat_bench_shape_t shape = self->shape;
    leat_bench_shared_destroy (self, s_size (&shape));
    *self_p = NULL;
}

static void s_tell (int fd)
{
    uint64_t one = 1;
    ssize_t wrote = write (fd, &one, sizeof one);
    leat_assert (wrote == (ssize_t) sizeof one);
}

static void s_await (int fd)
{
    uint64_t told;
    while (read (fd, &told, sizeof told) < 0 && errno == EINTR) {
    }
}

void leat_bench_swarm_go (leat_bench_swarm_t *self)
{
    s_tell (self->go);
}

void leat_bench_swarm_stop (leat_bench_swarm_t *self)
{
    atomic_store (&self->stop, true);
}

uint64_t leat_bench_swarm_received (const leat_bench_swarm_t *self)
{
    uint64_t received = 0;
    for (unsigned i = 0; i < self->shape.producers; i++)
        received += atomic_load (&self->lanes[i].received);
    return received;
}

/* ---- what both processes have ---------------------------------------------------------------- */

typedef struct s_crew s_crew_t;

/* A producer or a consumer, with its thread. */
typedef struct {
    s_crew_t *crew;
    unsigned number; /* from 0 */
    unsigned stream;
    leat_producer_t *producer;
    leat_consumer_t *consumer;
    pthread_t thread;
    bool started;
} s_member_t;

struct s_crew {
    leat_bench_swarm_t *swarm;
    leat_bench_bodies_t bodies;
    void *context;
    leat_client_t **clients;
    unsigned client_count;
    s_member_t *members;
    unsigned count;
};

/* `count` members with streams, and at least as many clients as share one of these. */
static bool s_crew_open (s_crew_t *self, leat_bench_swarm_t *swarm, unsigned count,
                         unsigned clients_min)
{
    const leat_bench_plan_t *plan = &swarm->round->plan;
    unsigned clients = count < LEAT_BENCH_SWARM_CLIENTS ? count : LEAT_BENCH_SWARM_CLIENTS;
    if (clients < clients_min)
        clients = clients_min;
    leat_bench_allow_files ();
    *self = (s_crew_t){ .swarm = swarm,
                        .context = leat_bench_context_new (),
                        .clients = leat_alloc (clients * sizeof (leat_client_t *)),
                        .client_count = clients,
                        .members = leat_alloc (count * sizeof (s_member_t)),
                        .count = count };
    leat_bench_bodies_begin (&self->bodies, plan->size, plan->seed);
    for (unsigned i = 0; i < clients; i++) {
        self->clients[i] = leat_bench_client_new (swarm->round, swarm->round->front, self->context);
        if (!self->clients[i])
            return false;
    }
    for (unsigned i = 0; i < count; i++) {
        self->members[i].crew = self;
        self->members[i].number = i;
        self->members[i].stream = i % swarm->shape.streams;
    }
    return true;
}

/* Threads have ended, or were never started. */
static void s_crew_close (s_crew_t *self)
{
    for (unsigned i = 0; i < self->count; i++) {
        leat_producer_destroy (&self->members[i].producer);
        leat_consumer_destroy (&self->members[i].consumer);
    }
    for (unsigned i = 0; i < self->client_count; i++)
        leat_client_destroy (&self->clients[i]);
    zmq_ctx_term (self->context);
    free (self->clients);
    free (self->members);
    leat_bench_bodies_end (&self->bodies);
}

static bool s_crew_start (s_crew_t *self, void *(*run) (void *) )
{
    pthread_attr_t attributes;
    pthread_attr_init (&attributes);
    pthread_attr_setstacksize (&attributes, S_STACK_SIZE);
    bool good = true;
    for (unsigned i = 0; good && i < self->count; i++) {
        s_member_t *member = &self->members[i];
        int error = pthread_create (&member->thread, &attributes, run, member);
        member->started = good = error == 0;
        if (!good)
            leat_bench_round_fail (self->swarm->round, "no thread: %s", strerror (error));
    }
    pthread_attr_destroy (&attributes);
    return good;
}

static void s_crew_join (s_crew_t *self)
{
    for (unsigned i = 0; i < self->count; i++)
        if (self->members[i].started)
            pthread_join (self->members[i].thread, NULL);
}

/* Another one for each member of a stream, as far as there are so many. */
static leat_client_t *s_client (const s_member_t *member)
{
    unsigned turn = member->stream + member->number / member->crew->swarm->shape.streams;
    return member->crew->clients[turn % member->crew->client_count];
}

static void s_stream (const s_member_t *member, char *name, size_t size)
{
    snprintf (name, size, "%s.%u", member->crew->swarm->round->stream, member->stream);
}

static uint32_t s_window_size (const s_crew_t *self)
{
    size_t size = S_SHARED_SIZE / self->count;
    return (uint32_t) (size < S_WINDOW_MIN   ? S_WINDOW_MIN
                       : size > S_WINDOW_MAX ? S_WINDOW_MAX
                                             : size);
}

/* ---- producers ------------------------------------------------------------------------------- */

static void *s_produce (void *arg)
{
    s_member_t *self = arg;
    leat_bench_swarm_t *swarm = self->crew->swarm;
    size_t size = swarm->round->plan.size;
    uint64_t number = 0;
    while (!atomic_load_explicit (&swarm->stop, memory_order_relaxed)) {
        uint8_t *body = leat_producer_reserve (self->producer, size);
        if (!body) {
            leat_bench_producer_failed (swarm->round, self->producer, "cannot send");
            return NULL;
        }
        leat_bench_bodies_make (&self->crew->bodies, self->number, number, body);
        leat_producer_commit (self->producer, size);
        number++;
    }
    if (leat_producer_flush (self->producer, S_TIMEOUT_MS) != 0)
        leat_bench_producer_failed (swarm->round, self->producer, "not all is confirmed");
    swarm->lanes[self->number].sent = number;
    return NULL;
}

static bool s_open_producers (s_crew_t *self)
{
    leat_bench_round_t *round = self->swarm->round;
    uint32_t window_size = s_window_size (self);
    leat_producer_options_t options = { .window_size = window_size };
    if (window_size / 2 < 256 * 1024)
        options.batch_size = window_size / 2;
    for (unsigned i = 0; i < self->count; i++) {
        char stream[128];
        s_stream (&self->members[i], stream, sizeof stream);
        self->members[i].producer =
            leat_producer_new (s_client (&self->members[i]), stream, &options);
        if (!self->members[i].producer) {
            leat_bench_round_fail (round, "no producer %u: %s", i, strerror (errno));
            return false;
        }
    }
    for (unsigned i = 0; i < self->count; i++) {
        uint64_t known;
        if (leat_producer_known (self->members[i].producer, &known, S_TIMEOUT_MS) != 0) {
            leat_bench_producer_failed (round, self->members[i].producer, "cannot open a stream");
            return false;
        }
    }
    return true;
}

int leat_bench_swarm_produce (void *arg, int ready)
{
    leat_bench_swarm_t *swarm = arg;
    s_crew_t crew;
    const leat_bench_shape_t *shape = &swarm->shape;
    unsigned sharing = (shape->producers + shape->streams - 1) / shape->streams;
    bool good = s_crew_open (&crew, swarm, shape->producers, sharing) && s_open_producers (&crew);
    if (good) {
        leat_bench_ready (ready);
        s_await (swarm->go);
        good = s_crew_start (&crew, s_produce);
        s_crew_join (&crew);
        s_tell (swarm->drain);
    }
    s_crew_close (&crew);
    return good && !swarm->round->error[0] ? 0 : 1;
}

/* ---- consumers ------------------------------------------------------------------------------- */

/* Records of one producer that follow each other. */
typedef struct {
    uint64_t producer;
    uint64_t next; /* the number that is due, if this is the stream's only consumer */
    uint64_t count;
    uint64_t sum;
} s_streak_t;

static void s_streak_end (leat_bench_swarm_t *swarm, s_streak_t *streak)
{
    if (!streak->count)
        return;
    leat_bench_lane_t *lane = &swarm->lanes[streak->producer];
    atomic_fetch_add (&lane->sum, streak->sum);
    atomic_fetch_add (&lane->received, streak->count);
    streak->count = 0;
}

static bool s_check (const s_member_t *self, s_streak_t *streak, const leat_record_t *record)
{
    leat_bench_swarm_t *swarm = self->crew->swarm;
    const leat_bench_shape_t *shape = &swarm->shape;
    uint64_t number = 0;
    uint64_t producer = UINT64_MAX;
    if (record->body_size >= LEAT_BENCH_BODIES_SIZE_MIN) {
        memcpy (&number, record->body, 8);
        memcpy (&producer, (const uint8_t *) record->body + 8, 8);
    }
    if (producer >= shape->producers || producer % shape->streams != self->stream) {
        leat_bench_round_fail (swarm->round, "a record of stream %u is of none of its producers",
                               self->stream);
        return false;
    }
    if (!streak->count || streak->producer != producer) {
        s_streak_end (swarm, streak);
        *streak = (s_streak_t){ .producer = producer,
                                .next = atomic_load (&swarm->lanes[producer].received) };
    }
    bool alone = shape->consumers == shape->streams;
    if (!leat_bench_bodies_same (&self->crew->bodies, producer, alone ? streak->next : number,
                                 record->body, record->body_size)) {
        leat_bench_round_fail (swarm->round,
                               "record %" PRIu64 " of producer %" PRIu64 " is not as it was sent",
                               number, producer);
        return false;
    }
    streak->next++;
    streak->count++;
    streak->sum += number;
    return true;
}

static void *s_consume (void *arg)
{
    s_member_t *self = arg;
    leat_bench_swarm_t *swarm = self->crew->swarm;
    s_streak_t streak = { 0 };
    bool good = true;
    leat_lease_t *lease;
    while (good && (lease = leat_consumer_receive_batch (self->consumer, -1)) != NULL) {
        leat_delivered_t delivered;
        while (good && leat_lease_next (lease, &delivered))
            good = s_check (self, &streak, &delivered.record);
        leat_lease_ack (&lease);
        s_streak_end (swarm, &streak);
    }
    if (good && errno != ESHUTDOWN)
        leat_bench_consumer_failed (swarm->round, self->consumer, "cannot receive");
    return NULL;
}

static bool s_open_consumers (s_crew_t *self)
{
    leat_consumer_options_t options = { .credit_size = s_window_size (self) / 2 };
    for (unsigned i = 0; i < self->count; i++) {
        char stream[128];
        s_stream (&self->members[i], stream, sizeof stream);
        self->members[i].consumer =
            leat_consumer_new (s_client (&self->members[i]), stream, &options);
        if (!self->members[i].consumer) {
            leat_bench_round_fail (self->swarm->round, "no consumer %u: %s", i, strerror (errno));
            return false;
        }
    }
    return true;
}

/* Everything that was sent has been received; false if that takes too long. */
static bool s_drained (leat_bench_swarm_t *swarm)
{
    uint64_t sent = 0;
    for (unsigned i = 0; i < swarm->shape.producers; i++)
        sent += swarm->lanes[i].sent;
    uint64_t deadline_ns = leat_bench_now_ns () + S_TIMEOUT_MS * UINT64_C (1000000);
    while (leat_bench_swarm_received (swarm) < sent && !swarm->round->error[0]) {
        if (leat_bench_now_ns () > deadline_ns) {
            leat_bench_round_fail (swarm->round, "%" PRIu64 " records of %" PRIu64 " came",
                                   leat_bench_swarm_received (swarm), sent);
            return false;
        }
        poll (NULL, 0, 10);
    }
    return true;
}

/* Each record of each producer has come once. */
static bool s_complete (leat_bench_swarm_t *swarm)
{
    for (unsigned i = 0; i < swarm->shape.producers; i++) {
        leat_bench_lane_t *lane = &swarm->lanes[i];
        uint64_t sent = lane->sent;
        uint64_t sum = sent % 2 ? (sent - 1) / 2 * sent : sent / 2 * (sent - 1);
        if (atomic_load (&lane->received) == sent && atomic_load (&lane->sum) == sum)
            continue;
        leat_bench_round_fail (swarm->round,
                               "producer %u: %" PRIu64 " records came of %" PRIu64 ", or others", i,
                               (uint64_t) atomic_load (&lane->received), sent);
        return false;
    }
    return true;
}

static bool s_leave (leat_bench_round_t *round, leat_consumer_t *consumer)
{
    if (leat_consumer_leave (consumer, S_TIMEOUT_MS) != 0)
        leat_bench_consumer_failed (round, consumer, "not all is settled");
    else if (leat_consumer_stale (consumer) || leat_consumer_damaged (consumer))
        leat_bench_round_fail (round, "%" PRIu64 " records settled too late, %" PRIu64 " damaged",
                               leat_consumer_stale (consumer), leat_consumer_damaged (consumer));
    return !round->error[0];
}

int leat_bench_swarm_consume (void *arg, int ready)
{
    leat_bench_swarm_t *swarm = arg;
    leat_bench_round_t *round = swarm->round;
    s_crew_t crew;
    bool good = s_crew_open (&crew, swarm, swarm->shape.consumers, 1) && s_open_consumers (&crew)
                && s_crew_start (&crew, s_consume);
    if (good) {
        leat_bench_ready (ready);
        s_await (swarm->drain);
        good = s_drained (swarm);
    }
    for (unsigned i = 0; i < crew.count; i++)
        if (crew.members[i].started)
            leat_consumer_leave (crew.members[i].consumer, 0);
    s_crew_join (&crew);
    for (unsigned i = 0; good && i < crew.count; i++)
        good = s_leave (round, crew.members[i].consumer);
    good = good && s_complete (swarm);
    s_crew_close (&crew);
    return good && !round->error[0] ? 0 : 1;
}
