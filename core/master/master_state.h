/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_state.h - what the files of the master share; nobody else includes it.
 *
 *	master.c	start, events, signals, stop
 *	relays.c	relay processes: started, ended, replaced by another one
 *	reload.c	reload and upgrade: a configuration is checked and handed to a relay
 */
#ifndef CORE_MASTER_MASTER_STATE_H
#define CORE_MASTER_MASTER_STATE_H

#include <core/master/activation.h>
#include <core/master/channel.h>
#include <core/master/checker.h>
#include <core/master/child.h>
#include <core/master/code.h>
#include <core/master/crashes.h>
#include <core/master/sockets.h>
#include <core/master/watch.h>
#include <core/master/watchdog.h>
#include <core/net/tls_tickets.h>

#define MASTER_STOP_MS 35000 /* the relay's own deadline is 30 s */

/* The greater one includes the other. */
enum wish { WISH_NOTHING, WISH_RELOAD, WISH_UPGRADE };

struct master {
	const char *folder, *modules;
	struct checker_answer answer, next; /* in force; being taken by a relay */
	struct sockets sockets, next_sockets;
	struct code code, next_code;
	struct watch watch;
	struct watchdog watchdog;
	struct activation activation; /* only until the sockets are open */
	struct crashes crashes;
	struct tls_ticket_seed tickets;
	int64_t read_us;  /* wall time before the newest configuration was read */
	enum wish taking; /* `next` was given to a relay that has not answered */
	bool asked;       /* posternctl waits for what comes of it */
	enum wish again;  /* was wanted meanwhile */
	bool again_asked;
	struct child relay;   /* serves */
	struct child coming;  /* serves as well as soon as it is ready, and then alone */
	struct child leaving; /* did serve; ends by itself */
	int64_t coming_until_ms, leaving_until_ms;
	int signals, state; /* state: the folder's lock */
	bool ready, stopping;
	bool closed;                    /* no new mail is taken, by whatever relay serves */
	bool coming_closed;             /* what the one that comes was told */
	int64_t started_ms, restart_ms; /* of `relay`; restart_ms 0: no restart due */
	unsigned failures;
	int64_t stop_until_ms;
};

/* ---- relays.c ---- */
int relays_start(struct master *master, struct pn_error *err);
/*
 * Starts another relay beside the one that serves: same configuration and sockets, or those that
 * are being taken. When it is ready it serves and the other one leaves: no connection is refused,
 * what clients are in the middle of is finished. If it does not get ready nothing has changed.
 * `why` is logged. -EBUSY during a reload and while another one comes or leaves.
 */
int relays_replace(struct master *master, const char *why, struct pn_error *err);
/* The relay that comes is ready. */
void relays_arrived(struct master *master);
/* It is not wanted, or does not come. */
void relays_give_up(struct master *master, const char *why);
void relays_reap(struct master *master);
void relays_stop(struct master *master, int signal);
bool relays_any(const struct master *master);
/* What is due by now; the moment when something is due next, INT64_MAX: nothing. */
void relays_look(struct master *master, int64_t now_ms);
int64_t relays_due(const struct master *master);
/* Frames no longer make sense in one direction. Its end is noticed. */
void relays_kill(const struct child *child);
int relays_send_config(const struct child *child, struct master *master,
    const struct checker_answer *answer, const struct sockets *sockets);

/* ---- reload.c ---- */
void reload_begin(struct master *master, enum wish wish, bool asked);
/* A relay's answer. */
void reload_failed(struct master *master, const char *text);
void reload_applied(struct master *master, const char *text);
/* What was wanted while something was under way. */
void reload_again(struct master *master);
/* Files were changed: certificates, keys, code. */
void reload_look(struct master *master);
/* Tells the relay that serves of changed code. */
void reload_tell_code(struct master *master);

#endif
