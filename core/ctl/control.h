/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the socket through which posternctl speaks with a running relay.
 *
 * A unix socket in the run folder, open to the relay's own user and root. One request a connection:
 * a line of JSON {"command": ..., ...}, answered by one JSON document, then closed. Lines of JSON
 * may come ahead of it that say how far the work is. Runs on the relay's main loop.
 */
#ifndef CORE_CTL_CONTROL_H
#define CORE_CTL_CONTROL_H

#include <core/net/loop.h>
#include <jansson.h>

#define CONTROL_SOCKET "control" /* in the run folder */

struct control;
struct control_request;

struct control_command {
	const char *name; /* NULL ends a table */
	/* Answers now or later by control_reply(); `body` lives until then. */
	void (*run)(void *arg, struct control_request *request, json_t *body);
};

int control_open(struct loop *loop, const char *folder, const struct control_command *commands,
    void *arg, struct control **ret, struct pn_error *err);
/* Takes the reference. The caller may have gone: then nothing is sent. Frees the request. */
void control_reply(struct control_request *request, json_t *reply);
/*
 * A line ahead of the reply, for who has asked for it by "progress": true; `state` is taken.
 */
void control_progress(struct control_request *request, json_t *state);
/* {"error": text} */
void control_refuse(struct control_request *request, const char *text);
void control_close(struct control **control);

/* ---- the other side, blocking ---- */

/* Called with each line that comes ahead of the reply. */
struct control_listener {
	void (*progress)(void *arg, json_t *state);
	void *arg;
};
/* `listener` may be NULL. -ECONNREFUSED or -ENOENT: no relay is running; -EACCES: not for this
 * user. */
int control_ask(const char *folder, json_t *request, const struct control_listener *listener,
    json_t **ret, struct pn_error *err);

#endif
