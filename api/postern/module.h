/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.h - the contract between Postern and its modules. The one header a module includes.
 *
 * ABI history (it only grows; a module built against an older number goes on working):
 *	1	2026-11-22	first: stages connect to aborted, header, body and envelope edits,
 *				AUTH, staged effects, database, commands
 *	2	2026-11-23	plans: stages select, protect, seal, outcome, tick; providers
 *				(plan.h); pn_is_trial; key-value store (store.h);
 *				metrics (metric.h); HTTP requests (http.h); LDAP look-ups
 *				(ldap.h); parts, decoded text and text edits (part.h);
 *				scoped settings, pn_blob_get (settings.h);
 *				PN_WANTS and `chooses`;
 *				pn_audit (command.h)
 *	3	2026-11-23	pn_hold, PN_HOLDS
 *	4	2026-11-23	pn_header_addresses (part.h); pn_ldap_bind (ldap.h);
 *				pn_txn_client_shared, pn_auth_binding (txn.h)
 *				stage flush; pn_address_canonical, pn_txn_original_recipient_at
 *				accounts, users, groups, who owns an address (directory.h)
 *				pn_domain_within (txn.h); pn_settings_for, pn_account_find
 *	5	2026-11-23	PN_TLS_WAIT, PN_CHOICE_EXCLUSIVE (plan.h)
 *				pn_mail_send (mail.h)
 *				the client's certificate, pn_fingerprint_canonical (txn.h);
 *				PN_BY_CERTIFICATE (directory.h)
 *				pn_user_keep (db.h)
 *				servers of users' own (user_relay.h); PN_ACCOUNT_ONLY (settings.h)
 *				pn_network_has (txn.h)
 *	6	2026-11-24	secrets in the database, sealed (secret.h); pn_message_7bit (part.h)
 *				pn_demand_tls_terms, PN_TLS_STS, PN_TLS_DANE (plan.h)
 *				OpenPGP (openpgp.h)
 *				pn_group_refuse (plan.h); `together`
 *				PN_WHOLE (settings.h)
 *				PN_HTTP_PUBLIC (http.h)
 *				comma-separated values (csv.h); pn_method_provided (plan.h)
 *
 * A module is a shared object with a single exported symbol, a constant description:
 *
 *	static struct pn_verdict
 *	greeter_on_message(struct pn_call *call, struct pn_txn *txn)
 *	{
 *		const struct greeter *cfg = pn_settings(call);
 *		int r = pn_header_prepend(call, "X-Greeting", cfg->text);
 *		return r < 0 ? pn_fault(call, r, "cannot add the header") : pn_pass();
 *	}
 *
 *	static const struct pn_hook greeter_hooks[] = {
 *		{ PN_STAGE_MESSAGE, PN_QUICK, greeter_on_message }, PN_HOOK_END
 *	};
 *
 *	PN_MODULE(greeter) = {
 *		PN_MODULE_HEAD,
 *		.name          = "greeter",
 *		.summary       = "Adds a greeting to the header.",
 *		.flags         = PN_MODIFIES,
 *		.settings_size = sizeof(struct greeter),
 *		.settings      = greeter_options,
 *		.hooks         = greeter_hooks,
 *	};
 *
 * Life cycle in one process, per entry of the pipeline: settings filled; `check` and `prepare` for
 * each accepted configuration; `start` once; hooks many times, from several threads at once;
 * `stop` once. A `start` that fails undoes its own work and gets no `stop`. Nothing is unloaded
 * while the process lives. No mutable globals: what changes lives in pn_state().
 *
 * A hook may block unless it is flagged PN_QUICK. One that does not return in time is left behind:
 * the entry's on_fault speaks, what it may read stays as it is until it returns, and changing calls
 * answer -ECANCELED. A crash in a hook costs the client its connection (it tries again; a message
 * that has crashed an entry twice gets a 451) and the relay a restart within a second; what was
 * acknowledged stays safe. A quick hook that does not return ends the relay in the same way, after
 * some 20 seconds.
 */
#ifndef POSTERN_MODULE_H
#define POSTERN_MODULE_H

#include <postern/base.h>
#include <postern/command.h>
#include <postern/csv.h>
#include <postern/db.h>
#include <postern/directory.h>
#include <postern/http.h>
#include <postern/ldap.h>
#include <postern/mail.h>
#include <postern/metric.h>
#include <postern/openpgp.h>
#include <postern/part.h>
#include <postern/plan.h>
#include <postern/secret.h>
#include <postern/settings.h>
#include <postern/store.h>
#include <postern/txn.h>
#include <postern/user_relay.h>
#include <postern/verdict.h>

#define PN_ABI 6

/*
 * Where in the life of a message a hook runs. A message meets SELECT, PROTECT and SEAL (plan.h)
 * between MESSAGE and COMMITTED; the numbers only tell when a stage joined the contract.
 */
enum pn_stage {
	PN_STAGE_END = 0,
	PN_STAGE_CONNECT, /* TCP accept, before the greeting: pass, reject, defer */
	PN_STAGE_HELO,    /* HELO, EHLO: the same, and pn_auth_offer */
	PN_STAGE_AUTH, /* each round of AUTH: identified, challenge, reject, defer, pass to the next
			*/
	PN_STAGE_SENDER,    /* MAIL: pass, reject, defer, pn_edit_sender */
	PN_STAGE_RECIPIENT, /* each RCPT: pass, reject, defer, pn_edit_recipient, pn_add_recipient
			     */
	PN_STAGE_MESSAGE,   /* the whole message in hand, before its reply: also edit, tag, discard,
			     * hold */
	PN_STAGE_COMMITTED, /* the message is durable; the client need not wait */
	PN_STAGE_ABORTED,   /* a transaction that began at MAIL will never be accepted;
			     * `when` is not asked: what it matched on may be undone */
	PN_STAGE_SELECT,    /* a recipient for whom protection is wanted: pn_choose, pass, reject,
			     * defer, pn_demand_tls */
	PN_STAGE_PROTECT,   /* no hooks: a provider's render runs at it */
	PN_STAGE_SEAL,      /* a rendering: header edits only */
	/*
	 * A recipient's result of an attempt: every entry runs. No delivery waits for it: results
	 * are told one after the other, and where hooks are so slow that 10,000 wait, further ones
	 * are dropped and counted in the log. A relay that stops or is replaced has what waits
	 * heard first, as far as its 30 seconds go; a crash loses it. So these hooks record, and
	 * nothing that must be true may hang on them.
	 */
	PN_STAGE_OUTCOME,
	/*
	 * About once a minute, in one thread of the relay; the transaction is empty: every entry
	 * runs, with the settings of its section. Never twice at a time for one entry: while a
	 * late one has not returned, the next ones are skipped, as faults.
	 */
	PN_STAGE_TICK,
	/*
	 * since ABI 4. As PN_STAGE_TICK, but every second, and once more when the relay ends and
	 * nothing else runs: to write down what is in memory only. Not waited for by anything, and
	 * not called by a crash.
	 */
	PN_STAGE_FLUSH,
	PN_STAGE_COUNT
};

/* Flags of a hook. */
#define PN_QUICK \
	0x01u /* touches memory only, never blocks: runs on the event loop, no thread hop */

struct pn_hook {
	int32_t stage;
	uint32_t flags;
	struct pn_verdict (*run)(
	    struct pn_call *call, struct pn_txn *txn); /* neither is ever NULL */
};
#define PN_HOOK_END \
	{ \
		PN_STAGE_END, 0, NULL \
	}

/* Roles: in which processes a module wants to be started. */
#define PN_ROLE_RELAY 0x01u
#define PN_ROLE_CTL   0x02u

/* Flags of a module. */
#define PN_MODIFIES \
	0x01u /* its hooks may edit the message or the envelope; without it edits are -EPERM */
/* since ABI 2: its hooks may want protection; without it pn_want_protection() is -EPERM */
#define PN_WANTS 0x02u
/* since ABI 3: its hooks may hold messages; without it pn_hold() is a fault */
#define PN_HOLDS 0x04u

struct pn_module {
	/* The head, filled in by PN_MODULE_HEAD. Row sizes let the tables grow. */
	uint32_t abi;
	uint32_t size;
	uint16_t option_size, hook_size, command_size, migration_size;

	const char *name;    /* as in the file's name and in YAML */
	const char *summary; /* one sentence */
	const char *needs;   /* names of modules that must stand before it, separated by spaces */
	uint32_t roles;      /* 0 means PN_ROLE_RELAY */
	uint32_t flags;

	size_t settings_size;
	const struct pn_option *settings;

	/*
	 * Complain about settings that no table can refuse. Runs in the checker before anything
	 * else, and in the relay for combinations of overrides that nobody could foresee: from any
	 * thread then, so it must be quick and keep nothing.
	 */
	void (*check)(struct pn_check *check, const void *settings);
	/*
	 * What is worth computing once per settings (compiled patterns): `*ret` comes back from
	 * pn_derived(). 0, or a negative errno after pn_complain(). Freed by `release`. Once per
	 * distinct effective settings, from any thread that may block; `release` from any thread.
	 * Combinations of overrides that turn up with a message are prepared in the time of the
	 * hook that wants them: its deadline counts, and its on_fault answers where it fails.
	 */
	int (*prepare)(struct pn_check *check, const void *settings, void **ret);
	void (*release)(void *derived);

	/* Makes what pn_state() returns; may block; sees pn_settings() and pn_derived(). */
	int (*start)(struct pn_call *call, void **ret_state, struct pn_error *err);
	void (*stop)(void *state);

	const struct pn_hook *hooks;           /* ends with PN_HOOK_END; NULL: none */
	const struct pn_command *commands;     /* ends with a row without name; NULL: none */
	const struct pn_migration *migrations; /* ends with a row without sql; NULL: none */

	/* since ABI 2 */
	const struct pn_provider *providers; /* ends with a row without method; NULL: none */
	uint32_t provider_size;
	/*
	 * Methods that its select hook may choose beside "none" and "tls", separated by spaces:
	 * `posternctl check` warns where nobody provides one. NULL: not said.
	 */
	const char *chooses;

	/*
	 * since ABI 6. May two recipients for whom one of its methods was chosen with these choices
	 * share a rendering? Beside who must not see whom, which the core knows. NULL: always. Pure
	 * and quick, from any thread; if a goes with b and b with c, a goes with c.
	 */
	bool (*together)(const char *method, struct pn_slice one, struct pn_slice other);
};

#define PN_MODULE_HEAD \
	.abi = PN_ABI, .size = sizeof(struct pn_module), .option_size = sizeof(struct pn_option), \
	.hook_size = sizeof(struct pn_hook), .command_size = sizeof(struct pn_command), \
	.migration_size = sizeof(struct pn_migration), .provider_size = sizeof(struct pn_provider)

/* Defines and exports <name>_LTX_postern_module; write '_' where the module's name has '-'. */
#define PN_MODULE(id) \
	extern PN_PUBLIC const struct pn_module id##_LTX_postern_module; \
	const struct pn_module id##_LTX_postern_module

/* ---- what a call carries --------------------------------------------------------------------- */

/*
 * The entry's settings, a struct of settings_size; never NULL where the module has a table. From
 * PN_STAGE_SENDER on they are the effective ones: those of the user who logged in, else of the
 * sender as the client gave it. Before, and outside hooks, those that hold for nobody in
 * particular.
 */
PN_PUBLIC const void *pn_settings(const struct pn_call *call);
/*
 * In a command: the settings that hold for the mail of this user, and in `ret_account` (which may
 * be NULL) whom it is counted for, all zero where nobody's. Valid until the next such question.
 * NULL, with the text in `err`: what is stored for the user does not fit. Since ABI 4.
 */
PN_PUBLIC const void *pn_settings_for(
    struct pn_call *call, const char *user, struct pn_account *ret_account, struct pn_error *err);
/* What `prepare` made for these settings; NULL without one. */
PN_PUBLIC void *pn_derived(const struct pn_call *call);
/* What `start` made: one per entry and process, shared by all threads; the module locks it. */
PN_PUBLIC void *pn_state(const struct pn_call *call);
/* The id under which the entry stands in the pipeline. */
PN_PUBLIC const char *pn_entry(const struct pn_call *call);
PN_PUBLIC int32_t pn_stage(const struct pn_call *call);
/* The host name that the relay goes by, as configured. */
PN_PUBLIC const char *pn_relay_name(const struct pn_call *call);
/* False in a PN_QUICK hook that runs on the event loop: pn_not_quick() asks for a thread. */
PN_PUBLIC bool pn_may_block(const struct pn_call *call);
/*
 * True where the chain runs to see what it would do: nothing outside may change, so the database
 * and the key-value store are -EROFS, and effects are staged but never committed. What a module
 * does by itself (a program, a socket) it leaves out, and says so by pn_pass_because().
 */
PN_PUBLIC bool pn_is_trial(const struct pn_call *call);
/* Milliseconds until the answer is due; 0 when it is overdue and nobody listens any more. */
PN_PUBLIC int64_t pn_time_left(const struct pn_call *call);

/* One line to the relay's log, with module, entry and transaction added. Never a body or a secret.
 */
PN_PUBLIC void pn_log(const struct pn_call *call, enum pn_level level, const char *format, ...)
    PN_PRINTF(3, 4);

#endif
