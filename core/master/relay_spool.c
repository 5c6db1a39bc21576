/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_spool.c - the relay's spool: opened at once, what waits in it read behind the mail.
 *
 * Called by relay.c. A relay that was here before may still be ending (an upgrade, a crash that is
 * slow); nothing that a client waits for may wait for it.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/config/keyring.h>
#include <core/master/relay_state.h>
#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define SPOOL_WAIT_MS \
	40000 /* for a relay that follows another one itself and is to be followed \
	       */
#define SPOOL_RETRY_MS 20
#define TURN_MOST      200 /* messages that a lane takes over in one turn */

/* What one lane takes over. */
struct relay_restore {
	struct loop_task task;
	struct lane *lane;
	struct relay *relay;
	GPtrArray *items;
	guint at; /* those before it are the queue's */
};

static int
read_keys(const struct config_relay *config, struct keyring **ret, struct pn_error *err)
{
	const struct pn_secret *secret = config->spool.encrypt_with;

	*ret = NULL;
	return secret ? keyring_parse(pn_secret_bytes(secret), ret, err) : 0;
}

/* On the spool's thread. */
static void
key_is_needed(void *arg, const char *key)
{
	log_event(PN_LOG_WARNING, "spool-key-needed", "key", key, "reason",
	    "mail in the spool is encrypted with it and cannot be read after a restart: put it "
	    "back "
	    "into relay.spool.encrypt_with, behind the first",
	    NULL);
}

static void
limit_overflow(const struct config_relay *config)
{
	mail_overflow_limits((uint64_t)config->spool.reserve, (size_t)config->limits.header_size);
}

void
relay_spool_configure(struct relay *relay)
{
	const struct config_relay *config = &generation_core(relay->generation)->relay;
	struct keyring *keys = NULL;
	struct pn_error err = { 0 };
	int r = read_keys(config, &keys, &err);

	limit_overflow(config);
	if (r == 0)
		r = spool_set_keys(relay->spool, keys, key_is_needed, NULL);
	if (r < 0)
		log_event(PN_LOG_ERROR, "spool-keys-unchanged", "reason",
		    r == -ENOMEM ? "out of memory" : err.text, NULL);
	keyring_release(&keys);
}

/* On any thread. */
static void
damaged(void *arg, const char *aside, const char *what)
{
	log_event(PN_LOG_ERROR, "spool-record-damaged", "kept", aside, "what", what, NULL);
}

int
relay_spool_open(struct relay *relay, struct pn_error *err)
{
	const struct config_relay *config = &generation_core(relay->generation)->relay;
	char *directory = g_strdup_printf("%s/spool", relay->state_directory);
	struct spool_settings settings = { .directory = directory,
		.segment_size = (uint64_t)config->spool.segment_size,
		.reserve = (uint64_t)config->spool.reserve,
		.gather_us = (uint32_t)config->spool.gather,
		.damaged = damaged };
	int64_t until = clock_monotonic_ms() + SPOOL_WAIT_MS;
	int keys = read_keys(config, &settings.keys, err), r = keys;

	while (keys == 0 && (r = spool_follow(&settings, &relay->spool, err)) == -EBUSY &&
	       clock_monotonic_ms() < until)
		poll(NULL, 0, SPOOL_RETRY_MS);
	if (r == 0) {
		limit_overflow(config);
		r = mail_overflow_configure(directory, err);
	}
	keyring_release(&settings.keys);
	g_free(directory);
	return r;
}

/* ---- on the spool's thread ---- */

static void
recovered(void *arg, struct item *item)
{
	struct relay *relay = arg;

	g_ptr_array_add(relay->restores[relay->restored++ % relay->lane_count].items, item);
}

static void
restore_some(struct loop_task *task)
{
	struct relay_restore *restore = (struct relay_restore *)task;
	struct queue *queue = lane_queue(restore->lane);

	for (guint n = 0; n < TURN_MOST && restore->at < restore->items->len; n++)
		queue_restore(queue, g_ptr_array_index(restore->items, restore->at++));
	if (restore->at < restore->items->len)
		loop_post(lane_loop(restore->lane), &restore->task);
	else
		atomic_fetch_sub(&restore->relay->loading, 1);
}

static void
read_behind(void *arg, int r, const struct pn_error *err)
{
	struct spool_figures figures;
	struct relay *relay = arg;

	if (r == -ECANCELED)
		return;
	if (r < 0) {
		log_event(PN_LOG_ERROR, "spool-not-read", "reason", err->text, NULL);
		_exit(EXIT_FAILURE); /* what was answered is on disk */
	}
	spool_figures(relay->spool, &figures);
	if (relay->restored > 0)
		log_text(PN_LOG_NOTICE,
		    "%zu messages were waiting in the spool; %" PRIu64
		    " segments were read by their index, %" PRIu64 " whole",
		    relay->restored, figures.indexed, figures.scanned);
	for (size_t i = 0; i < relay->lane_count; i++)
		loop_post(lane_loop(relay->lanes[i]), &relay->restores[i].task);
}

int
relay_spool_inherit(struct relay *relay, struct pn_error *err)
{
	struct spool_recovery calls = { recovered, damaged, relay };

	relay->restores = calloc(relay->lane_count, sizeof(*relay->restores));
	if (!relay->restores)
		return pn_error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < relay->lane_count; i++)
		relay->restores[i] = (struct relay_restore){ .task.run = restore_some,
			.lane = relay->lanes[i],
			.relay = relay,
			.items = g_ptr_array_new() };
	atomic_store(&relay->loading, (unsigned)relay->lane_count);
	return spool_inherit(relay->spool, &calls, read_behind, err);
}

void
relay_spool_free(struct relay *relay)
{
	for (size_t i = 0; relay->restores && i < relay->lane_count; i++) {
		struct relay_restore *restore = &relay->restores[i];

		for (guint at = restore->at; at < restore->items->len; at++) {
			struct item *item = g_ptr_array_index(restore->items, at);

			item_free(&item);
		}
		g_ptr_array_free(restore->items, TRUE);
	}
	free(relay->restores);
	relay->restores = NULL;
}
