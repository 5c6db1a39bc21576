/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_try.c - a connection to a next hop that carries nothing, on a loop of its own.
 *
 * Called by posternctl, through the module user-relays. Must never send a letter.
 */
#include <core/queue/route_try.h>
#include <errno.h>
#include <stdio.h>

struct trying {
	struct loop *loop;
	struct jobs *jobs;
	struct resolver *resolver;
	struct courier *courier;
	bool ready;
	void (*shown)(void *arg, const struct courier *courier); /* NULL: nobody looks */
	void *shown_arg;
	char reason[COURIER_TEXT];
};

static void
on_ready(struct courier *courier)
{
	struct trying *trying = courier_arg(courier);

	trying->ready = true;
	if (trying->shown)
		trying->shown(trying->shown_arg, courier);
	courier_quit(courier);
}

static void
on_finished(struct courier *courier, struct courier_letter *letter)
{
}

static void
on_ended(struct courier *courier, const char *reason)
{
	struct trying *trying = courier_arg(courier);

	snprintf(trying->reason, sizeof(trying->reason), "%s", reason ? reason : "");
	loop_stop(trying->loop);
}

static int
run(struct trying *trying, const struct courier_target *target, const char *relay_name, int64_t ms)
{
	static const struct courier_events events = { on_ready, on_finished, on_ended };
	struct courier_limits limits = { ms, ms, ms, ms, ms, ms, ms, ms, ms, ms };
	struct courier_parts parts = {
		.loop = trying->loop,
		.resolver = trying->resolver,
		.jobs = trying->jobs,
		.target = target,
		.limits = &limits,
		.relay_name = relay_name,
		.idle_ms = ms,
		.events = &events,
		.arg = trying,
	};
	int r = courier_new(&parts, &trying->courier);

	if (r == 0)
		loop_run(trying->loop);
	courier_free(&trying->courier);
	return r;
}

int
route_try(const struct route *route, const char *relay_name, int64_t ms, struct pn_error *err)
{
	return route_try_target(
	    &route->hosts->ways[ROUTE_AS_SET].target, relay_name, ms, NULL, NULL, err);
}

int
route_try_target(const struct courier_target *target, const char *relay_name, int64_t ms,
    void (*ready)(void *arg, const struct courier *courier), void *arg, struct pn_error *err)
{
	struct trying trying = { .shown = ready, .shown_arg = arg };
	int r = loop_new(&trying.loop, err);

	if (r < 0)
		return r;
	r = jobs_new(1, &trying.jobs, err);
	if (r < 0)
		goto out;
	r = resolver_new(trying.jobs, &trying.resolver);
	if (r == 0)
		r = run(&trying, target, relay_name, ms);
	if (r < 0)
		pn_error_set(err, r, "out of memory");
	else if (!trying.ready)
		r = pn_error_set(err, -EREMOTEIO, "%s", trying.reason);
out:
	jobs_free(&trying.jobs);
	resolver_free(&trying.resolver);
	loop_free(&trying.loop);
	return r;
}
