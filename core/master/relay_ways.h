/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_ways.h - how next hops fare, as all lanes know it together: for posternctl route and queue
 * show.
 */
#ifndef CORE_MASTER_RELAY_WAYS_H
#define CORE_MASTER_RELAY_WAYS_H

#include <core/master/relay_state.h>

/*
 * `keys`: an array of those of queue_way_key(), taken. `reply` gets an object, by key, of those
 * that mail has gone to: "destination", "blocked_until", "blocked_because", "failures_in_a_row",
 * "connections", "connections_most", "in_line", "rate", "next_turn", and "hosts", each with "host",
 * "blocked_until", "blocked_because", "failures_in_a_row", "connections", "reached", "tls_bits".
 * Times are wall time, microseconds; 0: none.
 */
void relay_ways_ask(
    struct relay *relay, json_t *keys, void (*reply)(void *arg, json_t *answer), void *arg);
/* A moment of these as it is shown; null. */
json_t *relay_ways_date(const json_t *us);
/* The command "route". */
void relay_ways_run(void *relay, struct control_request *request, json_t *body);

#endif
