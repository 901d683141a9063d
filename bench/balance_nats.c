/* Balancers "nats-N": a JetStream work queue from which consumers pull up to N messages at once.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#ifdef LEAT_WITH_NATS

#include "bench/contender.h"
#include "bench/peer_nats.h"

#define S_STREAM "tasks"
#define S_DURABLE "workers"
#define S_TIMEOUT_MS 30000

static int s_middle (leat_bench_work_t *work, int ready)
{
    return leat_bench_nats_run (work->round, ready);
}

/* Connects, and makes the stream unless it is there. */
static bool s_open (leat_bench_nats_t *self, leat_bench_round_t *round)
{
    return leat_bench_nats_open (self, round, false, NULL)
           && leat_bench_nats_add_stream (self, round, S_STREAM, js_WorkQueuePolicy,
                                          js_MemoryStorage);
}

static bool s_publish (leat_bench_nats_t *self, leat_bench_work_t *work)
{
    leat_bench_round_t *round = work->round;
    for (uint64_t i = 0; i < work->count; i++) {
        uint8_t body[LEAT_BENCH_WORK_SIZE_MAX];
        leat_bench_work_make (work, i, body);
        if (!leat_bench_nats_good (
                round, "publish",
                js_PublishAsync (self->context, S_STREAM, body, (int) round->plan.size, NULL)))
            return false;
    }
    jsPubOptions options;
    jsPubOptions_Init (&options);
    options.MaxWait = S_TIMEOUT_MS;
    return leat_bench_nats_good (round, "not all is confirmed",
                                 js_PublishAsyncComplete (self->context, &options));
}

static int s_producer (leat_bench_work_t *work, int ready)
{
    leat_bench_nats_t client;
    bool good = s_open (&client, work->round);
    if (good) {
        leat_bench_ready (ready);
        good = s_publish (&client, work);
    }
    leat_bench_nats_close (&client);
    return good ? 0 : 1;
}

/* Pulls, works, acknowledges one after the other. */
static bool s_work (natsSubscription *subscription, leat_bench_work_t *work, unsigned worker)
{
    bool good = true;
    while (good && !leat_bench_work_over (work)) {
        natsMsgList list = { .Msgs = NULL };
        natsStatus status = natsSubscription_Fetch (&list, subscription, (int) work->window,
                                                    LEAT_BENCH_WORK_TURN_MS, NULL);
        if (status == NATS_TIMEOUT)
            continue;
        good = leat_bench_nats_good (work->round, "pull", status);
        for (int i = 0; good && i < list.Count; i++)
            good = leat_bench_work_do (work, worker, natsMsg_GetData (list.Msgs[i]),
                                       (size_t) natsMsg_GetDataLength (list.Msgs[i]))
                   && leat_bench_nats_good (work->round, "ack", natsMsg_Ack (list.Msgs[i], NULL));
        natsMsgList_Destroy (&list);
    }
    return good;
}

static int s_worker (leat_bench_work_t *work, unsigned worker, int ready)
{
    leat_bench_nats_t client;
    natsSubscription *subscription = NULL;
    bool late = leat_bench_work_joins (work->scenario, worker, work->count) > 0;
    bool good = s_open (&client, work->round);
    if (good && late) {
        leat_bench_ready (ready);
        leat_bench_work_wait (work, worker);
    }
    good = good
           && leat_bench_nats_good (work->round, "consumer",
                                    js_PullSubscribe (&subscription, client.context, S_STREAM,
                                                      S_DURABLE, NULL, NULL, NULL));
    if (good && !late)
        leat_bench_ready (ready);
    good = good && s_work (subscription, work, worker);
    natsSubscription_Destroy (subscription);
    leat_bench_nats_close (&client);
    return good ? 0 : 1;
}

#define S_BALANCER(batch, text)                                                                    \
    const leat_bench_balancer_t leat_bench_balance_nats_##batch = {                                \
        .name = "nats-" #batch,                                                                    \
        .about = "NATS JetStream, a work queue in memory, consumers that pull " text,              \
        .window = batch,                                                                           \
        .server = "nats-server",                                                                   \
        .middle = s_middle,                                                                        \
        .worker = s_worker,                                                                        \
        .producer = s_producer,                                                                    \
    }

S_BALANCER (1, "one by one");
S_BALANCER (100, "100 at once");

#endif
