/* SPDX-License-Identifier: Apache-2.0 */
/* queue_scene.c - the surroundings of the queue's tests. */
#include "tests/unit/queue_scene.h"
#include <check.h>
#include <core/base/clock.h>
#include <core/queue/inside.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>

#define GIVE_UP_MS 60000

/* ---- routes -----------------------------------------------------------------------------------
 */

static struct config_route
route_for(const char *const *domain, int to)
{
	return (struct config_route){
		.when = { .recipient_domain = { 1, domain }, .given = true },
		.to = to,
	};
}

static void
make_routes(struct scene *scene)
{
	static const char *const s[] = { "s.example" }, *const d[] = { "d.example" },
				 *const r[] = { "r.example" }, *const x[] = { "x.example" };
	struct config_route routes[4] = {
		route_for(s, CONFIG_ROUTE_MAILDIR),
		route_for(d, CONFIG_ROUTE_DISCARD),
		route_for(r, CONFIG_ROUTE_SMARTHOST),
		route_for(x, CONFIG_ROUTE_SMARTHOST),
	};
	struct config_core core = { .routes = { 4, routes } };
	struct pn_error err = { 0 };
	char hop[32];
	const char *const hops[] = { hop }, *const none[] = { "127.0.0.1:1" };

	snprintf(
	    hop, sizeof(hop), "127.0.0.1:%u", scene->hop ? (unsigned)next_hop_port(scene->hop) : 1);
	routes[0].path = scene->maildir;
	routes[0].when.given = !scene->all_to_maildir;
	routes[2].host = (struct pn_strings){ 1, hops };
	routes[3].host = (struct pn_strings){ 1, none };
	ck_assert_msg(
	    routes_new(&core, NULL, scene->capability, &scene->routes, &err) == 0, "%s", err.text);
}

/* ---- life -------------------------------------------------------------------------------------
 */

static void
look(struct loop_timer *timer)
{
	struct scene *scene = (struct scene *)(void *)((char *)timer -
						       offsetof(struct scene, timer));

	if (scene->until(scene)) {
		loop_stop(scene->loop);
	} else if (clock_monotonic_ms() > scene->give_up) {
		scene->timed_out = true;
		loop_stop(scene->loop);
	} else {
		loop_timer_set(scene->loop, timer, 5);
	}
}

void
scene_run(struct scene *scene, bool (*until)(struct scene *scene))
{
	scene->until = until;
	scene->timer.fire = look;
	scene->give_up = clock_monotonic_ms() + GIVE_UP_MS;
	loop_timer_set(scene->loop, &scene->timer, 0);
	loop_run(scene->loop);
	ck_assert(!scene->timed_out);
}

void
scene_all_to_maildir(struct scene *scene)
{
	scene->all_to_maildir = true;
	routes_release(&scene->routes);
	make_routes(scene);
	queue_configure(scene->queue, &scene->settings, scene->routes);
}

void
scene_begin(struct scene *scene, const char *const *script)
{
	scene_begin_with(scene, &(struct queue_parts){ 0 }, script, NULL);
}

void
scene_begin_with(
    struct scene *scene, const struct queue_parts *calls, const char *const *script, SSL_CTX *tls)
{
	*scene = (struct scene){ .folder = "/tmp/queue-test-XXXXXX", .calls = *calls };
	ck_assert_ptr_nonnull(mkdtemp(scene->folder));
	snprintf(scene->spool_folder, sizeof(scene->spool_folder), "%s/spool", scene->folder);
	snprintf(scene->maildir, sizeof(scene->maildir), "%s/mail/{user}", scene->folder);
	ck_assert_int_eq(g_mkdir(scene->spool_folder, 0700), 0);
	scene->settings = (struct queue_settings){
		.relay_name = "relay.test",
		.retry_first_ms = 60,
		.retry_most_ms = 500,
		.give_up_ms = 60000,
		.connections_per_destination = 1,
		.messages_per_connection = 100,
		.idle_connection_ms = 20000,
	};
	scene->capability = capability_new();
	if (script)
		scene->hop = next_hop_new(script, false, tls);
	make_routes(scene);
	scene_open(scene);
}

static void
take_item(void *arg, struct item *item)
{
	struct scene *scene = arg;

	scene->recovered++;
	queue_restore(scene->queue, item);
}

static void
keep_item(void *arg, struct item *item)
{
	g_ptr_array_add(arg, item);
}

static void
on_damaged(void *arg, const char *aside, const char *what)
{
	ck_abort_msg("%s: %s", aside, what);
}

void
scene_open(struct scene *scene)
{
	GPtrArray *items = g_ptr_array_new();
	struct spool_settings settings = {
		.directory = scene->spool_folder,
		.segment_size = 1u << 20,
		.reserve = scene->reserve,
	};
	struct spool_recovery recovery = { keep_item, on_damaged, items };
	struct queue_parts parts = scene->calls;
	struct pn_error err = { 0 };

	ck_assert_int_eq(loop_new(&scene->loop, &err), 0);
	ck_assert_int_eq(jobs_new(2, &scene->jobs, &err), 0);
	ck_assert_int_eq(resolver_new(scene->jobs, &scene->resolver), 0);
	ck_assert_msg(spool_open(&settings, &recovery, &scene->spool, &err) == 0, "%s", err.text);
	parts.committed = scene->committed;
	parts.arg = scene;
	parts.loop = scene->loop;
	parts.jobs = scene->jobs;
	parts.spool = scene->spool;
	parts.resolver = scene->resolver;
	ck_assert_int_eq(queue_new(&parts, &scene->queue, &err), 0);
	queue_configure(scene->queue, &scene->settings, scene->routes);
	scene->recovered = 0;
	for (guint i = 0; i < items->len; i++)
		take_item(scene, g_ptr_array_index(items, i));
	g_ptr_array_free(items, TRUE);
}

static void
on_drained(void *arg)
{
	((struct scene *)arg)->drained++;
}

static bool
is_drained(struct scene *scene)
{
	return scene->drained > 0;
}

void
scene_close(struct scene *scene)
{
	scene->drained = 0;
	queue_drain(scene->queue, on_drained, scene);
	scene_run(scene, is_drained);
	ck_assert_uint_eq(scene->drained, 1);
	queue_free(&scene->queue);
	spool_close(&scene->spool);
	jobs_free(&scene->jobs);
	resolver_free(&scene->resolver);
	loop_free(&scene->loop);
}

static void
remove_all(const char *path)
{
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *below = g_build_filename(path, name, NULL);

		remove_all(below);
		g_free(below);
	}
	if (dir)
		g_dir_close(dir);
	g_remove(path);
}

void
scene_end(struct scene *scene)
{
	if (scene->queue)
		scene_close(scene);
	if (scene->hop) {
		const char *fault = next_hop_end(scene->hop);

		ck_assert_msg(!fault, "%s", fault);
		next_hop_free(&scene->hop);
	}
	routes_release(&scene->routes);
	capability_release(&scene->capability);
	remove_all(scene->folder);
	ck_assert_uint_eq(mail_bytes_in_use(), 0);
}

/* ---- mail -------------------------------------------------------------------------------------
 */

struct item *
scene_item(const char *sender, const char *recipients)
{
	struct item *item = item_new();
	char **list = g_strsplit(recipients, " ", -1);

	item_id_new(item->id);
	item->accepted_us = clock_wall_us();
	item->facts.client_address = item->facts.client_literal = "local";
	item->facts.listener = item->facts.helo = "";
	item->envelope.sender = item->envelope.original_sender = arena_text(&item->arena, sender);
	for (size_t i = 0; list[i]; i++)
		mail_envelope_add(&item->envelope, &item->arena, list[i]);
	g_strfreev(list);
	item->size = strlen(SCENE_BODY);
	ck_assert_int_eq(mail_bytes_new(item->size, &item->bytes), 0);
	ck_assert_int_eq(mail_bytes_append(item->bytes, SCENE_BODY, item->size, 1000), 0);
	item_prepare(item);
	return item;
}

static void
on_accepted(void *arg, int r, const struct item *item)
{
	struct scene *scene = arg;

	ck_assert_int_eq((int)strlen(item->id), 13);
	scene->answered++;
	scene->refused += r < 0;
}

void
scene_accept(struct scene *scene, struct item *item)
{
	queue_accept(scene->queue, item, on_accepted, scene);
}

void
scene_send(struct scene *scene, const char *sender, const char *recipients)
{
	scene_accept(scene, scene_item(sender, recipients));
}

static void
count_item(void *arg, struct item *item)
{
	++*(unsigned *)arg;
}

void
scene_each(struct scene *scene, void (*each)(void *arg, struct item *item), void *arg)
{
	struct queue_walk walk;

	queue_walk_start(scene->queue, &walk);
	while (queue_walk_step(&walk, 1000, each, arg))
		;
}

bool
scene_is_empty(struct scene *scene)
{
	unsigned count = 0;

	scene_each(scene, count_item, &count);
	return count == 0;
}

struct queue_figures
scene_figures(struct scene *scene)
{
	struct queue_figures figures;

	queue_figures(scene->queue, &figures);
	return figures;
}

static char *
read_mailbox(struct scene *scene, const char *user, unsigned *ret_count)
{
	char *path = g_build_filename(scene->folder, "mail", user, "new", NULL), *text;
	GDir *dir = g_dir_open(path, 0, NULL);
	GString *all = g_string_new(NULL);
	const char *name;

	*ret_count = 0;
	while (dir && (name = g_dir_read_name(dir))) {
		char *file = g_build_filename(path, name, NULL);

		ck_assert(g_file_get_contents(file, &text, NULL, NULL));
		g_string_append(all, text);
		g_free(text);
		g_free(file);
		++*ret_count;
	}
	if (dir)
		g_dir_close(dir);
	g_free(path);
	return g_string_free(all, FALSE);
}

char *
scene_mailbox(struct scene *scene, const char *user)
{
	unsigned count;

	return read_mailbox(scene, user, &count);
}

unsigned
scene_mailbox_count(struct scene *scene, const char *user)
{
	unsigned count;

	g_free(read_mailbox(scene, user, &count));
	return count;
}

struct destination *
scene_destination(struct scene *scene)
{
	GHashTableIter each;
	gpointer value = NULL;

	g_hash_table_iter_init(&each, scene->queue->destinations);
	return g_hash_table_iter_next(&each, NULL, &value) ? value : NULL;
}
