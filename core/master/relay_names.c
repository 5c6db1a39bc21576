/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_names.c - how the relay finds hosts: the system's way for those in its configuration, the
 * DNS for those that the DNS names.
 *
 * Called by relay.c on the main thread. The system's look-ups block, so they have threads of their
 * own: a slow server keeps no hook waiting.
 */
#include <core/base/clock.h>
#include <core/master/relay_state.h>
#include <core/net/dns.h>

#define LOOK_UP_THREADS 4

int
relay_names_open(struct relay *relay, struct pn_error *err)
{
	int r = jobs_new(LOOK_UP_THREADS, &relay->look_ups, err);

	if (r == 0)
		r = resolver_new(relay->look_ups, &relay->resolver);
	if (r == 0)
		r = dns_new(&relay->dns, err);
	if (r == 0)
		relay_names_configure(relay);
	return r;
}

void
relay_names_configure(struct relay *relay)
{
	struct dns_settings settings = config_dns_settings(
	    &generation_core(relay->generation)->relay.dns);

	dns_configure(relay->dns, &settings);
}

bool
relay_names_end(struct relay *relay, int64_t within_ms)
{
	return !relay->look_ups || jobs_end(relay->look_ups, within_ms);
}

void
relay_names_free(struct relay *relay)
{
	resolver_free(&relay->resolver);
	dns_free(&relay->dns);
	if (relay->look_ups)
		jobs_free(&relay->look_ups);
}
