/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_drain.c - posternctl drain, resume: empties a relay before its machine goes down.
 *
 * The running relay takes no new mail from the first answer on (core/master/relay_drain.c); after
 * that this only watches, so it may be interrupted and called again. Held mail waits for a person
 * and is not waited for.
 */
#include <core/base/clock.h>
#include <core/config/option.h>
#include <core/ctl/commands.h>
#include <core/ctl/progress.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#define LOOK_MS  500
#define SURE     2  /* a session may have been at MAIL when the first was asked */
#define GAP_MOST 30 /* looks without an answer: a relay that has died is replaced meanwhile */

struct drain {
	struct ctl *ctl;
	struct progress progress;
	bool now;
	int64_t until_ms; /* 0: however long it takes */
	/* as they were when it began */
	int64_t delivered, deferred, failed;
	int64_t pid;
	json_t *told;   /* the last event */
	unsigned empty; /* looks in a row that found nothing */
};

/* ---- the words ------------------------------------------------------------------------------- */

static int
take_timeout(struct drain *drain, const char *text, struct pn_error *err)
{
	struct pn_option row = { .type = PN_TYPE_DURATION, .min = 0, .max = INT32_MAX };
	struct pn_error why = { 0 };
	int64_t ms;

	if (option_read(&row, text, &ms, &why) < 0)
		return pn_error_set(err, -EINVAL, "--timeout: \"%s\" %s", text, why.text);
	drain->until_ms = clock_monotonic_ms() + ms;
	return 0;
}

static int
take_words(struct drain *drain, int argc, char **argv, struct pn_error *err)
{
	int r = 0;

	for (int i = 0; r == 0 && i < argc; i++) {
		if (strcmp(argv[i], "--now") == 0)
			drain->now = true;
		else if (strncmp(argv[i], "--timeout=", 10) == 0)
			r = take_timeout(drain, argv[i] + 10, err);
		else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc)
			r = take_timeout(drain, argv[++i], err);
		else if (strcmp(argv[i], "--timeout") == 0)
			r = pn_error_set(err, -EINVAL, "--timeout needs a value");
		else
			r = pn_error_set(
			    err, -EINVAL, "\"%s\": drain knows --now and --timeout TIME", argv[i]);
	}
	return r;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int
order(struct ctl *ctl, const char *command, json_t **ret, struct pn_error *err)
{
	const char *audit;
	int code = ctl_ask(
	    ctl, json_pack("{s:s, s:s}", "command", command, "who", ctl->who), NULL, ret, err);

	if (code != EXIT_OK)
		return code;
	audit = json_string_value(json_object_get(*ret, "audit"));
	if (audit)
		fprintf(stderr, "posternctl: not written to the audit trail: %s\n", audit);
	return EXIT_OK;
}

static int64_t
number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* Everything that waits is due at once; what is held stays. */
static int
retry_all(struct ctl *ctl, struct pn_error *err)
{
	json_t *answer;
	int code = ctl_ask(ctl,
	    json_pack("{s:s, s:s, s:[], s:[], s:b, s:i}", "command", "queue retry", "who", ctl->who,
		"filters", "ids", "all", 1, "limit", 0),
	    NULL, &answer, err);

	if (code == EXIT_OK)
		json_decref(answer);
	return code;
}

static int
count(struct ctl *ctl, const char *state, int64_t *ret, struct pn_error *err)
{
	json_t *answer, *filters = state ? json_pack("[[s, s]]", "state", state) : json_array();
	int code = ctl_ask(ctl,
	    json_pack("{s:s, s:o, s:[], s:i}", "command", "queue list", "filters", filters, "ids",
		"limit", 0),
	    NULL, &answer, err);

	if (code != EXIT_OK)
		return code;
	*ret = number(answer, "matching_recipients");
	json_decref(answer);
	return EXIT_OK;
}

/* Only looked at closely where it may be true: a walk over a long queue takes its time. */
static bool
is_empty(struct ctl *ctl, const json_t *status)
{
	int64_t waiting = number(status, "waiting"), all, held;

	if (number(status, "transactions") > 0 || number(status, "sending") > 0 ||
	    json_is_true(json_object_get(status, "spool_loading")))
		return false;
	if (waiting == 0)
		return true;
	return waiting <= number(status, "held_recipients") &&
	       count(ctl, "held", &held, NULL) == EXIT_OK &&
	       count(ctl, NULL, &all, NULL) == EXIT_OK && held == all;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* Another relay process has begun to count anew. */
static void
begin_counting(struct drain *drain, const json_t *status)
{
	bool first = drain->pid == 0;

	drain->pid = number(status, "pid");
	drain->delivered = first ? number(status, "delivered") : 0;
	drain->deferred = first ? number(status, "deferred") : 0;
	drain->failed = first ? number(status, "failed") : 0;
}

static void
print_event(struct drain *drain, json_t *event)
{
	if (!json_equal(event, drain->told)) {
		char date[CLOCK_DATE_SIZE];
		json_t *timed = json_copy(event);

		clock_log_date(clock_wall_us(), date);
		json_object_set_new(timed, "time", json_string(date));
		json_dumpf(timed, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
		json_decref(timed);
	}
	json_decref(drain->told);
	drain->told = event;
}

static void
tell(struct drain *drain, const char *name, const json_t *status)
{
	long long receiving = number(status, "transactions"), sending = number(status, "sending"),
		  waiting = number(status, "waiting"), held = number(status, "held_recipients");
	long long delivered, deferred, failed;

	if (number(status, "pid") != drain->pid)
		begin_counting(drain, status);
	delivered = number(status, "delivered") - drain->delivered;
	deferred = number(status, "deferred") - drain->deferred;
	failed = number(status, "failed") - drain->failed;
	if (drain->ctl->console.json)
		print_event(drain,
		    json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "event", name,
			"transactions", (json_int_t)receiving, "sending", (json_int_t)sending,
			"waiting", (json_int_t)waiting, "held_recipients", (json_int_t)held,
			"delivered", (json_int_t)delivered, "deferred", (json_int_t)deferred,
			"failed", (json_int_t)failed));
	else
		progress_say(&drain->progress,
		    "receiving %lld, sending %lld, waiting %lld (held recipients %lld); since the "
		    "start delivered %lld, deferred %lld, failed %lld",
		    receiving, sending, waiting, held, delivered, deferred, failed);
}

static int
finish(struct drain *drain, const char *name, const json_t *status, int code, struct pn_error *err)
{
	bool json = drain->ctl->console.json;

	if (json)
		tell(drain, name, status);
	progress_end(&drain->progress);
	drain->ctl->console.json = false; /* events were lines, and there are no rows */
	if (code == EXIT_LATE)
		pn_error_set(err, -ETIMEDOUT,
		    "not empty yet: %lld messages; the relay still takes no new mail: drain again, "
		    "or resume",
		    (long long)(number(status, "waiting") + number(status, "sending")));
	else if (!json)
		printf("drained: nothing is left to send; held recipients %lld; the relay takes no "
		       "new mail until it is restarted, or resume\n",
		    (long long)number(status, "held_recipients"));
	return code;
}

/* ---- the wait -------------------------------------------------------------------------------- */

static int
look(struct drain *drain, json_t **ret, struct pn_error *err)
{
	int code = EXIT_REFUSED;

	for (int i = 0; i < GAP_MOST; i++) {
		*err = (struct pn_error){ 0 };
		code = ctl_ask(drain->ctl, json_pack("{s:s}", "command", "status"), NULL, ret, err);
		if (code == EXIT_OK)
			break;
		poll(NULL, 0, LOOK_MS);
	}
	return code;
}

static int
wait_until_empty(struct drain *drain, struct pn_error *err)
{
	json_t *status;
	int code;

	for (;;) {
		code = look(drain, &status, err);
		if (code != EXIT_OK)
			return code;
		if (!json_is_true(json_object_get(status, "draining"))) {
			pn_error_set(err, -ECANCELED,
			    "the relay takes new mail again: somebody said resume, or posternd was "
			    "restarted");
			code = EXIT_REFUSED;
			break;
		}
		tell(drain, "progress", status);
		drain->empty = is_empty(drain->ctl, status) ? drain->empty + 1 : 0;
		if (drain->empty >= SURE) {
			code = finish(drain, "drained", status, EXIT_OK, err);
			break;
		}
		if (drain->until_ms > 0 && clock_monotonic_ms() >= drain->until_ms) {
			code = finish(drain, "timeout", status, EXIT_LATE, err);
			break;
		}
		json_decref(status);
		poll(NULL, 0, LOOK_MS);
	}
	json_decref(status);
	return code;
}

static int
run_drain(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct drain drain = { .ctl = ctl };
	json_t *answer;
	int code;

	if (take_words(&drain, argc, argv, err) < 0)
		return EXIT_USAGE;
	code = order(ctl, "drain", &answer, err);
	if (code != EXIT_OK)
		return code;
	json_decref(answer);
	if (drain.now)
		code = retry_all(ctl, err);
	if (code == EXIT_OK)
		code = wait_until_empty(&drain, err);
	progress_end(&drain.progress);
	json_decref(drain.told);
	return code;
}

static int
run_resume(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	json_t *answer;
	int code = order(ctl, "resume", &answer, err);

	if (code == EXIT_OK)
		console_add(&ctl->console, answer);
	return code;
}

const struct ctl_command ctl_drain_commands[] = {
	{ "drain", "[--now] [--timeout TIME]",
	    "Take no new mail, and wait until the queue is empty but for held mail; --now tries "
	    "what waits at once.",
	    0, 3, run_drain },
	{ "resume", "", "Take new mail again after drain.", 0, 0, run_resume },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
