/* The table of balancers.
 * SPDX-License-Identifier: MPL-2.0 */
#include "bench/balancer.h"

#include <string.h>

const leat_bench_balancer_t *const leat_bench_balancers[] = {
    &leat_bench_balance_leat,
    &leat_bench_balance_push,
    &leat_bench_balance_beanstalkd,
#ifdef LEAT_WITH_RABBITMQ
    &leat_bench_balance_rabbitmq_1,
    &leat_bench_balance_rabbitmq_20,
    &leat_bench_balance_rabbitmq_250,
#endif
#ifdef LEAT_WITH_NATS
    &leat_bench_balance_nats_1,
    &leat_bench_balance_nats_100,
#endif
    NULL,
};

const leat_bench_balancer_t *leat_bench_balancer_find (const char *name, size_t size)
{
    for (size_t i = 0; leat_bench_balancers[i]; i++) {
        const char *known = leat_bench_balancers[i]->name;
        if (strlen (known) == size && memcmp (known, name, size) == 0)
            return leat_bench_balancers[i];
    }
    return NULL;
}
