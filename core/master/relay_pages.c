/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_pages.c - what a running relay shows to a browser of numbers: GET /metrics.
 *
 * Called by relay.c on the main loop. The master has opened the socket, as those of listeners, so
 * an upgrade's two relays share it. Must never ask anything of a client: there is no login here.
 */
#include <core/master/relay_state.h>
#include <core/web/http.h>
#include <errno.h>
#include <stdlib.h>

static void
reply(void *arg, json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "text"));
	char *copy = text ? strdup(text) : NULL;

	http_reply(arg, copy, copy ? strlen(copy) : 0);
	json_decref(answer);
}

static void
ask_metrics(void *arg, struct http_request *request)
{
	relay_ask_metrics(arg, reply, request);
}

static const struct http_page pages[] = {
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", ask_metrics },
	{ NULL, NULL, NULL },
};

int
relay_pages_configure(struct relay *relay, struct pn_error *err)
{
	const char *at = generation_core(relay->settled->generation)->relay.metrics.listen;
	int r;

	if (at && relay->pages && strcmp(at, relay->pages_at) == 0)
		return 0;
	relay_pages_close(relay);
	if (!at || relay->draining)
		return 0;
	r = http_open(
	    relay->loop, settled_metrics_fd(relay->settled), pages, relay, &relay->pages, err);
	if (r < 0)
		return pn_error_in(err, "relay.metrics");
	relay->pages_at = strdup(at);
	if (!relay->pages_at)
		abort(); /* as arena.h */
	return 0;
}

void
relay_pages_close(struct relay *relay)
{
	http_close(&relay->pages);
	free(relay->pages_at);
	relay->pages_at = NULL;
}
