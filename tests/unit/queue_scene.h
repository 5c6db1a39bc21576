/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_scene.h - a queue with a real spool, a scripted next hop and maildirs, in a folder of its
 * own, on one loop that is run until something is true.
 *
 * Mail for s.example goes to the folder's mail/{user}, for d.example nowhere, for r.example to the
 * next hop (connections limited to one), for x.example to a port where nobody listens.
 */
#ifndef TESTS_UNIT_QUEUE_SCENE_H
#define TESTS_UNIT_QUEUE_SCENE_H

#include "tests/unit/next_hop.h"
#include <core/queue/queue.h>

#define SCENE_BODY "Subject: x\r\nMessage-ID: <1@s.example>\r\n\r\n.body\r\n"

struct scene {
	char folder[64], spool_folder[80], maildir[100];
	struct loop *loop;
	struct loop_timer timer;
	struct jobs *jobs;
	struct resolver *resolver;
	struct spool *spool;
	struct queue *queue;
	struct queue_settings settings;
	struct capability *capability;
	struct routes *routes;
	struct next_hop *hop;
	uint64_t reserve; /* of the spool, when it is opened next */
	void (*committed)(void *arg, struct queue *queue, struct item *item);
	struct queue_parts calls; /* `outcome`, `replan` and `seal` of it */
	bool all_to_maildir;
	/* What happened. */
	unsigned answered, refused, recovered, drained;
	/* While running. */
	bool (*until)(struct scene *scene);
	int64_t give_up;
	bool timed_out;
};

void scene_begin(struct scene *scene, const char *const *script);
/* The same, with what the queue calls (copied), and TLS for the next hop, or NULL. */
void scene_begin_with(
    struct scene *scene, const struct queue_parts *calls, const char *const *script, SSL_CTX *tls);
/* From now on mail for any address, however odd, goes to mail/{user}. */
void scene_all_to_maildir(struct scene *scene);
/* Opens spool and queue, giving back what the spool recovered. */
void scene_open(struct scene *scene);
/* Drains and closes both: what a restart finds is what was written. */
void scene_close(struct scene *scene);
void scene_end(struct scene *scene);

/* "a@s.example" to a list separated by blanks; returned before it is given to the queue. */
struct item *scene_item(const char *sender, const char *recipients);
void scene_accept(struct scene *scene, struct item *item);
void scene_send(struct scene *scene, const char *sender, const char *recipients);
/* Runs until it is true; fails the test after 30 s. */
void scene_run(struct scene *scene, bool (*until)(struct scene *scene));
void scene_each(struct scene *scene, void (*each)(void *arg, struct item *item), void *arg);
bool scene_is_empty(struct scene *scene); /* the queue has no item left */
struct queue_figures scene_figures(struct scene *scene);

/* The one that mail has gone to, where there is one alone; NULL: none has gone anywhere. */
struct destination *scene_destination(struct scene *scene);

/* All of a user's maildir/new in one text, "" where there is none; to be freed. */
char *scene_mailbox(struct scene *scene, const char *user);
/* Messages in it. */
unsigned scene_mailbox_count(struct scene *scene, const char *user);

#endif
