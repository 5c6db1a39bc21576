/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shaping.c - who may have a connection, over all loops.
 *
 * Called by destination.c and connection.c. One lock over everything, held for a few steps only.
 * Must never hand a place to two, nor keep one that nobody has.
 */
#include <core/queue/shaping.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

struct shape {
	struct shaping *shaping;
	unsigned references;
	struct shape_limits limits;
	struct rate messages, sessions;
	uint32_t open;       /* places taken or granted */
	atomic_uint waiting; /* for a place of this next hop's own */
	char key[];
};

struct shaping {
	atomic_uint references;
	pthread_mutex_t lock;
	GHashTable *shapes; /* by key */
	struct silence *silence;
	struct shaping_member *members;
	struct shaping_waiter *first, **last;
	uint32_t most, open;
	atomic_uint waiting; /* for one of all places */
};

/* ---- life ------------------------------------------------------------------------------------ */

struct shaping *
shaping_new(void)
{
	struct shaping *shaping = g_new0(struct shaping, 1);

	atomic_init(&shaping->references, 1);
	atomic_init(&shaping->waiting, 0);
	pthread_mutex_init(&shaping->lock, NULL);
	shaping->shapes = g_hash_table_new(g_str_hash, g_str_equal);
	shaping->silence = silence_new();
	shaping->last = &shaping->first;
	shaping->most = UINT32_MAX;
	return shaping;
}

struct shaping *
shaping_hold(struct shaping *shaping)
{
	atomic_fetch_add(&shaping->references, 1);
	return shaping;
}

void
shaping_release(struct shaping **shaping_at)
{
	struct shaping *shaping = *shaping_at;

	*shaping_at = NULL;
	if (!shaping || atomic_fetch_sub(&shaping->references, 1) > 1)
		return;
	g_hash_table_destroy(shaping->shapes);
	silence_release(&shaping->silence);
	pthread_mutex_destroy(&shaping->lock);
	g_free(shaping);
}

struct silence *
shaping_silence(struct shaping *shaping)
{
	return shaping->silence;
}

struct shape *
shape_get(struct shaping *shaping, const char *key)
{
	struct shape *shape;

	pthread_mutex_lock(&shaping->lock);
	shape = g_hash_table_lookup(shaping->shapes, key);
	if (!shape) {
		shape = g_malloc0(sizeof(*shape) + strlen(key) + 1);
		strcpy(shape->key, key);
		shape->shaping = shaping_hold(shaping);
		shape->limits.connections = UINT32_MAX;
		atomic_init(&shape->waiting, 0);
		g_hash_table_insert(shaping->shapes, shape->key, shape);
	}
	shape->references++;
	pthread_mutex_unlock(&shaping->lock);
	return shape;
}

void
shape_release(struct shape **shape_at)
{
	struct shape *shape = *shape_at;
	struct shaping *shaping;
	bool last;

	*shape_at = NULL;
	if (!shape)
		return;
	shaping = shape->shaping;
	pthread_mutex_lock(&shaping->lock);
	last = --shape->references == 0;
	if (last)
		g_hash_table_remove(shaping->shapes, shape->key);
	pthread_mutex_unlock(&shaping->lock);
	if (!last)
		return;
	g_free(shape);
	shaping_release(&shaping);
}

/* ---- waiting; under the lock from here on ---------------------------------------------------- */

static void
post(struct shaping_member *member)
{
	if (member->posted)
		return;
	member->posted = true;
	loop_post(member->loop, &member->task);
}

static bool
has_place(const struct shape *shape)
{
	return shape->open < shape->limits.connections;
}

/* Whom a waiter waits for may change with each place; counted anew, as few wait. */
static void
count_waiting(struct shaping *shaping)
{
	unsigned all = 0;

	for (const struct shaping_waiter *waiter = shaping->first; waiter; waiter = waiter->next)
		atomic_store(&waiter->shape->waiting, 0);
	for (const struct shaping_waiter *waiter = shaping->first; waiter; waiter = waiter->next)
		if (has_place(waiter->shape))
			all++;
		else
			atomic_fetch_add(&waiter->shape->waiting, 1);
	atomic_store(&shaping->waiting, all);
}

static void
take_off(struct shaping_waiter *waiter)
{
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	else if (!waiter->granted)
		waiter->shape->shaping->last = waiter->link;
	waiter->link = NULL;
}

static void
take_place(struct shape *shape)
{
	shape->open++;
	shape->shaping->open++;
}

static void
free_place(struct shape *shape)
{
	shape->open--;
	shape->shaping->open--;
}

/* To the first who can use it, as long as there is a place. */
static void
grant(struct shaping *shaping)
{
	struct shaping_waiter *waiter = shaping->first, *next;

	if (!waiter)
		return;
	for (; waiter && shaping->open < shaping->most; waiter = next) {
		next = waiter->next;
		if (!has_place(waiter->shape))
			continue;
		take_off(waiter);
		take_place(waiter->shape);
		atomic_store(&waiter->shape->waiting, 0); /* counted below */
		waiter->granted = true;
		waiter->next = waiter->member->granted;
		waiter->link = &waiter->member->granted;
		if (waiter->next)
			waiter->next->link = &waiter->next;
		waiter->member->granted = waiter;
		post(waiter->member);
	}
	count_waiting(shaping);
}

static void
wait(struct shape *shape, struct shaping_waiter *waiter)
{
	struct shaping *shaping = shape->shaping;

	waiter->shape = shape;
	waiter->next = NULL;
	waiter->link = shaping->last;
	*shaping->last = waiter;
	shaping->last = &waiter->next;
	atomic_fetch_add(has_place(shape) ? &shaping->waiting : &shape->waiting, 1);
	/* Whoever keeps a connection that it does not need closes it. */
	for (struct shaping_member *member = shaping->members; member; member = member->next)
		post(member);
}

/* ---- places ---------------------------------------------------------------------------------- */

bool
shape_take(struct shape *shape, struct shaping_waiter *waiter, int64_t now_us, int64_t *ret_wait_us)
{
	struct shaping *shaping = shape->shaping;
	bool has = false;

	*ret_wait_us = 0;
	pthread_mutex_lock(&shaping->lock);
	if (waiter->granted) {
		take_off(waiter);
		waiter->granted = false;
		has = true;
	} else if (!waiter->link && has_place(shape) && shaping->open < shaping->most) {
		take_place(shape);
		has = true;
	} else if (!waiter->link) {
		wait(shape, waiter);
	}
	if (has)
		*ret_wait_us = rate_take(&shape->sessions, &shape->limits.sessions, now_us);
	if (*ret_wait_us > 0) {
		free_place(shape);
		grant(shaping);
		has = false;
	}
	pthread_mutex_unlock(&shaping->lock);
	return has;
}

void
shape_give(struct shape *shape)
{
	struct shaping *shaping = shape->shaping;

	pthread_mutex_lock(&shaping->lock);
	free_place(shape);
	grant(shaping);
	pthread_mutex_unlock(&shaping->lock);
}

static void
decline(struct shaping_waiter *waiter)
{
	if (!waiter->granted)
		return;
	take_off(waiter);
	waiter->granted = false;
	free_place(waiter->shape);
	grant(waiter->shape->shaping);
}

void
shape_decline(struct shaping_waiter *waiter)
{
	struct shaping *shaping = waiter->shape->shaping;

	pthread_mutex_lock(&shaping->lock);
	decline(waiter);
	pthread_mutex_unlock(&shaping->lock);
}

void
shape_unwait(struct shaping_waiter *waiter)
{
	struct shaping *shaping = waiter->shape->shaping;

	pthread_mutex_lock(&shaping->lock);
	decline(waiter);
	if (waiter->link) {
		take_off(waiter);
		atomic_store(&waiter->shape->waiting, 0);
		count_waiting(shaping);
	}
	pthread_mutex_unlock(&shaping->lock);
}

void
shape_configure(struct shape *shape, const struct shape_limits *limits)
{
	struct shaping *shaping = shape->shaping;

	pthread_mutex_lock(&shaping->lock);
	shape->limits = *limits;
	grant(shaping);
	pthread_mutex_unlock(&shaping->lock);
}

bool
shape_is_rested(struct shape *shape, int64_t now_us)
{
	bool rested;

	pthread_mutex_lock(&shape->shaping->lock);
	rested = rate_is_rested(&shape->messages, now_us) &&
		 rate_is_rested(&shape->sessions, now_us);
	pthread_mutex_unlock(&shape->shaping->lock);
	return rested;
}

int64_t
shape_take_message(struct shape *shape, int64_t now_us)
{
	struct shaping *shaping = shape->shaping;
	int64_t wait_us;

	pthread_mutex_lock(&shaping->lock);
	wait_us = rate_take(&shape->messages, &shape->limits.messages, now_us);
	pthread_mutex_unlock(&shaping->lock);
	return wait_us;
}

bool
shape_is_wanted(const struct shape *shape)
{
	return atomic_load_explicit(&shape->waiting, memory_order_relaxed) > 0;
}

uint32_t
shaping_waiting(const struct shaping *shaping)
{
	return atomic_load_explicit(&shaping->waiting, memory_order_relaxed);
}

void
shaping_configure(struct shaping *shaping, uint32_t connections)
{
	pthread_mutex_lock(&shaping->lock);
	shaping->most = connections;
	grant(shaping);
	pthread_mutex_unlock(&shaping->lock);
}

/* ---- members --------------------------------------------------------------------------------- */

static void
run_task(struct loop_task *task)
{
	struct shaping_member *member = (struct shaping_member *)(void *)task;

	pthread_mutex_lock(&member->shaping->lock);
	member->posted = false;
	pthread_mutex_unlock(&member->shaping->lock);
	member->look(member);
}

void
shaping_join(struct shaping *shaping, struct shaping_member *member)
{
	member->task.run = run_task;
	member->shaping = shaping;
	pthread_mutex_lock(&shaping->lock);
	member->next = shaping->members;
	member->link = &shaping->members;
	if (member->next)
		member->next->link = &member->next;
	shaping->members = member;
	pthread_mutex_unlock(&shaping->lock);
}

bool
shaping_leave(struct shaping_member *member)
{
	bool posted;

	pthread_mutex_lock(&member->shaping->lock);
	posted = member->posted;
	if (member->link) {
		*member->link = member->next;
		if (member->next)
			member->next->link = member->link;
		member->link = NULL;
	}
	pthread_mutex_unlock(&member->shaping->lock);
	return !posted;
}

struct shaping_waiter *
shaping_granted(struct shaping_member *member)
{
	struct shaping_waiter *waiter;

	pthread_mutex_lock(&member->shaping->lock);
	waiter = member->granted;
	pthread_mutex_unlock(&member->shaping->lock);
	return waiter;
}
