/* SPDX-License-Identifier: Apache-2.0 */
/* relay_state.h - what relay.c and relay_control.c share: the relay's main thread's own. */
#ifndef CORE_MASTER_RELAY_STATE_H
#define CORE_MASTER_RELAY_STATE_H

#include <core/ctl/control.h>
#include <core/master/lane.h>
#include <core/store/overrides.h>
#include <stdatomic.h>

#define RELAY_LANES_MOST 64

struct relay {
	struct loop *loop; /* of the main thread */
	struct loop_io channel, signals;
	struct loop_timer deadline;
	struct relay_watch *watch; /* relay_watch.c */
	struct jobs *jobs;
	struct jobs
	    *look_ups; /* threads of the resolver's own: a slow server keeps no hook waiting */
	struct resolver *resolver;
	struct dns *dns;
	struct sts *sts;           /* relay_sts.c */
	struct relay_sts *sts_own; /* the same */
	struct capability *capability;
	struct tls_tickets *tickets;
	struct shaping *shaping;
	struct spool *spool;
	struct db *db;
	struct server_shared *shared;
	struct lane *lanes[RELAY_LANES_MOST];
	size_t lane_count;
	struct relay_restore *restores; /* a lane's each; see relay_spool.c */
	size_t restored;                /* messages found in the spool */
	atomic_uint loading;            /* lanes that have not yet taken over their share of them */
	struct generation *generation;  /* the newest */
	char *folder, *modules, *state_directory, *user;
	struct control *control;
	struct http *pages;                /* relay_pages.c; NULL: none */
	char *pages_at;                    /* their address */
	struct control_request *reloading; /* who asked for a reload or upgrade, or NULL */
	char *changed_code; /* files that were replaced since they were loaded, or NULL */
	int64_t started_us;
	size_t switching;                  /* lanes that have not yet taken a configuration */
	bool applying;                     /* among these is one of the master's, who waits */
	struct settled *settled;           /* the newest */
	struct relay_overrides *overrides; /* see relay_overrides.c */
	struct relay_outbox *outbox;       /* see relay_outbox.c */
	struct relay_served *served;       /* see relay_served.c */
	size_t undrained; /* lanes that are to drain; a reload may be under way too */
	bool draining;
	atomic_bool closed;     /* no new mail is taken: posternctl drain */
	atomic_size_t occupied; /* lanes that have sessions, during a drain */
	int64_t drained_by_ms;
};

/* ---- relay_names.c ---- */
int relay_names_open(struct relay *relay, struct pn_error *err);
/* What a reload may change of it. */
void relay_names_configure(struct relay *relay);
/* False: look-ups have not returned within so long, and read what would be freed. */
bool relay_names_end(struct relay *relay, int64_t within_ms);
/* When the lanes are no more. */
void relay_names_free(struct relay *relay);

/* ---- relay_spool.c ---- */
/* Takes messages from now on. Waits for another relay only if that follows one as well. */
int relay_spool_open(struct relay *relay, struct pn_error *err);
/* What a reload may change of it. */
void relay_spool_configure(struct relay *relay);
/* When the lanes run: hands them, later, what waits in the spool. */
int relay_spool_inherit(struct relay *relay, struct pn_error *err);
/* When neither the spool nor the lanes are any more. */
void relay_spool_free(struct relay *relay);

/* ---- relay_overrides.c ---- */
/* Begins to look, every few seconds and off the loop, whether the database has other settings. */
void relay_overrides_start(struct relay *relay);
/* The same at once. */
void relay_overrides_look(struct relay *relay);
/* What the database has now, for a generation that is built; `ret` is good until the next call. */
int relay_overrides_read(struct relay *relay, const struct overrides **ret, struct pn_error *err);
/* When the threads are gone. */
void relay_overrides_free(struct relay *relay);

/* ---- relay_outbox.c ---- */
/* Begins to look, every second and off the loop, for mail that Postern has made itself. */
void relay_outbox_start(struct relay *relay);
/* The same at once. */
void relay_outbox_look(struct relay *relay);
/* When neither lanes nor threads run any more, and the database is still open. */
void relay_outbox_free(struct relay *relay);
/* ---- relay_sts.c ---- */
int relay_sts_open(struct relay *relay, struct pn_error *err);
/* Reads what the database has overridden, and begins to look now and then. */
void relay_sts_start(struct relay *relay);
/* What a reload may change of it. */
void relay_sts_configure(struct relay *relay);
/* Looks at once. */
void relay_sts_look(struct relay *relay);
/* False: a policy host has not let go within so long, and reads what would be freed. */
bool relay_sts_end(struct relay *relay, int64_t within_ms);
/* When neither lanes nor threads nor the DNS run any more, and the database is still open. */
void relay_sts_free(struct relay *relay);
/* ---- relay_served.c ---- */
/* Reads the directory server now and after each interval, off the loop, where there is one. */
void relay_served_start(struct relay *relay);
/* After a reload: as it says from now on. */
void relay_served_configure(struct relay *relay);
/* What came of it, for `posternctl status`; nothing where no server is configured. */
void relay_served_status(const struct relay *relay, json_t *ret);
/* False: a reading has not returned within so long, and reads what would be freed. */
bool relay_served_end(struct relay *relay, int64_t within_ms);
void relay_served_free(struct relay *relay);

/* ---- relay.c ---- */
/* Puts a configuration in force, lane by lane. */
void relay_apply(struct relay *relay, struct settled *settled);
void relay_log_diags(struct diags *diags);

/* ---- relay_queue.c ---- */
/* The commands "queue ...". */
void relay_queue_run(void *relay, struct control_request *request, json_t *body);

/* ---- relay_pages.c ---- */
/* Serves them where the newest configuration says; what is served there already goes on. */
int relay_pages_configure(struct relay *relay, struct pn_error *err);
void relay_pages_close(struct relay *relay);

/* ---- relay_drain.c ---- */
/* The commands "drain" and "resume". */
void relay_drain_run(void *relay, struct control_request *request, json_t *body);
/* Without a word to anybody. */
void relay_drain_set(struct relay *relay, bool closed);

/* ---- relay_control.c ---- */
extern const struct control_command relay_commands[];
/* `reply` gets {"text": all numbers in Prometheus' format}, NULL if there is no memory, soon. */
void relay_ask_metrics(
    struct relay *relay, void (*reply)(void *request, json_t *answer), void *request);
/* The master has said what came of a reload or an upgrade. */
void relay_control_outcome(struct relay *relay, const char *json);

#endif
