/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_scene.h - two ends of a connection on one loop, for tests of the network.
 *
 * Each end keeps what it was told. An end's `act` runs after every event and may do anything to it,
 * closing included; the scene runs until `until` is true and fails the test after 30 seconds.
 */
#ifndef TESTS_UNIT_NET_SCENE_H
#define TESTS_UNIT_NET_SCENE_H

#include <core/net/jobs.h>
#include <core/net/stream.h>
#include <core/net/tls.h>

enum scene_event {
	SCENE_INPUT,
	SCENE_DRAINED,
	SCENE_SECURED,
	SCENE_LOST,
	SCENE_LATE,
	SCENE_EVENTS
};

struct end {
	struct stream stream; /* first: events find their end by it */
	struct scene *scene;
	struct buf got;
	bool keep_unread; /* `input` takes nothing */
	int count[SCENE_EVENTS];
	int lost, secured; /* what was told last */
	char why[500];
	void (*act)(struct end *end, enum scene_event event);
};

struct scene {
	struct loop *loop;
	struct loop_timer guard;
	struct end client, server;
	bool (*until)(struct scene *scene);
};

void scene_init(struct scene *scene);
/* A TCP connection over loopback; the client's connect has been reported. */
void scene_connect(struct scene *scene);
/* The server's side alone; returns the peer's blocking descriptor. */
int scene_half(struct scene *scene);
void scene_run(struct scene *scene, bool (*until)(struct scene *scene));
void scene_free(struct scene *scene);
void scene_say(struct end *end, const char *text);
/* A listening socket on a port of the kernel's choice. */
int scene_listen(struct address *ret);
extern const struct stream_events scene_events;

/* Conditions. */
bool scene_secured(struct scene *scene); /* both ends had a result */
bool scene_client_lost(struct scene *scene);
bool scene_server_lost(struct scene *scene);
bool scene_server_got(struct scene *scene); /* a line */
bool scene_client_got(struct scene *scene);

#endif
