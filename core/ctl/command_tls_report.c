/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_tls_report.c - posternctl tls-report: the TLS counts of a day as RFC 8460 section 4 has
 * them.
 *
 * One report for each domain. Sending them is not part of this.
 */
#include <core/base/clock.h>
#include <core/ctl/directory.h>
#include <core/store/tls_counts.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>

#define DAY_US (INT64_C(24) * 3600 * 1000000)

struct request {
	int64_t day;
	const char *domain; /* NULL: all */
	char canonical[MAIL_DOMAIN_MOST + 1];
};

struct report {
	struct ctl *ctl;
	const struct request *request;
	json_t *reports; /* domain -> report */
	int r;
	struct pn_error *err;
};

/* ---- the command line ------------------------------------------------------------------------ */

static int
read_day(const char *text, int64_t *ret, struct pn_error *err)
{
	int year = 0, month = 0, day = 0, used = 0;
	GDateTime *date = NULL;

	if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) == 3 && !text[used])
		date = g_date_time_new_utc(year, month, day, 0, 0, 0);
	if (!date)
		return pn_error_set(
		    err, -EINVAL, "\"%.40s\" is no date; write for example 2026-11-30", text);
	*ret = g_date_time_to_unix(date) / 86400;
	g_date_time_unref(date);
	return 0;
}

static int
read_request(int argc, char **argv, struct request *ret, struct pn_error *err)
{
	int r = 0;

	*ret = (struct request){ .day = clock_wall_us() / DAY_US };
	for (int i = 0; i < argc && r == 0; i += 2) {
		if (strcmp(argv[i], "--day") == 0 && i + 1 < argc)
			r = read_day(argv[i + 1], &ret->day, err);
		else if (strcmp(argv[i], "--domain") == 0 && i + 1 < argc)
			r = mail_domain_canonical(argv[i + 1], ret->canonical) < 0
				? pn_error_set(err, -EINVAL, "\"%.255s\" is no domain", argv[i + 1])
				: 0;
		else
			r = pn_error_set(err, -EINVAL,
			    "\"%.80s\": --day DATE and --domain DOMAIN are known here", argv[i]);
	}
	ret->domain = *ret->canonical ? ret->canonical : NULL;
	return r;
}

/* ---- reports --------------------------------------------------------------------------------- */

static json_t *
lines_of(const char *text)
{
	char **lines = g_strsplit(text, "\n", -1);
	json_t *ret = json_array();

	for (char **line = lines; *line; line++)
		if (**line)
			json_array_append_new(ret, console_text(*line));
	g_strfreev(lines);
	return ret;
}

static int
add_policy_text(void *arg, const struct tls_count_policy *policy)
{
	json_object_set_new(arg, "policy-string", lines_of(policy->text));
	if (*policy->hosts)
		json_object_set_new(arg, "mx-host", lines_of(policy->hosts));
	return 0;
}

static json_t *
new_policy(struct report *report, const struct tls_count *count)
{
	json_t *said = json_pack(
	    "{s:s, s:s}", "policy-type", count->type, "policy-domain", count->domain);
	int r = tls_counts_policy(report->ctl->db, count->day, count->domain, count->type,
	    add_policy_text, said, report->err);

	if (r < 0)
		report->r = r;
	return json_pack("{s:o, s:{s:i, s:i}}", "policy", said, "summary",
	    "total-successful-session-count", 0, "total-failure-session-count", 0);
}

/* "2026-11-24T00:00:00Z" */
static void
write_time(int64_t day, const char *time, char ret[32])
{
	char date[CLOCK_DATE_SIZE];

	clock_log_date(day * DAY_US, date);
	snprintf(ret, 32, "%.10sT%sZ", date, time);
}

static json_t *
new_report(const struct report *report, const struct tls_count *count)
{
	const char *host = generation_core(report->ctl->generation)->relay.hostname;
	char from[32], to[32], id[MAIL_DOMAIN_MOST + 64], contact[MAIL_DOMAIN_MOST + 32];

	write_time(count->day, "00:00:00", from);
	write_time(count->day, "23:59:59", to);
	snprintf(id, sizeof(id), "%.10s_%s", from, count->domain);
	snprintf(contact, sizeof(contact), "postmaster@%.*s", MAIL_DOMAIN_MOST, host);
	return json_pack("{s:s, s:{s:s, s:s}, s:s, s:s, s:[]}", "organization-name", host,
	    "date-range", "start-datetime", from, "end-datetime", to, "contact-info", contact,
	    "report-id", id, "policies");
}

static json_t *
find_report(struct report *report, const struct tls_count *count)
{
	json_t *found = json_object_get(report->reports, count->domain);

	if (found)
		return found;
	found = new_report(report, count);
	json_object_set_new(report->reports, count->domain, found);
	return found;
}

/* Counts come in order, so the last policy is it or there is none yet. */
static json_t *
find_policy(struct report *report, const struct tls_count *count)
{
	json_t *policies = json_object_get(find_report(report, count), "policies");
	size_t size = json_array_size(policies);
	json_t *last = size > 0 ? json_array_get(policies, size - 1) : NULL;
	const char *type = json_string_value(
	    json_object_get(json_object_get(last, "policy"), "policy-type"));

	if (type && strcmp(type, count->type) == 0)
		return last;
	last = new_policy(report, count);
	json_array_append_new(policies, last);
	return last;
}

static void
add_number(json_t *summary, const char *name, int64_t number)
{
	json_int_t before = json_integer_value(json_object_get(summary, name));

	json_object_set_new(summary, name, json_integer(before + number));
}

static void
set_known(json_t *object, const char *name, const char *text)
{
	if (*text)
		json_object_set_new(object, name, console_text(text));
}

static int
add_count(void *arg, const struct tls_count *count)
{
	struct report *report = arg;
	json_t *policy = find_policy(report, count);
	json_t *summary = json_object_get(policy, "summary");
	json_t *details, *detail;

	if (!*count->result) {
		add_number(summary, "total-successful-session-count", count->number);
		return 0;
	}
	add_number(summary, "total-failure-session-count", count->number);
	details = json_object_get(policy, "failure-details");
	if (!details) {
		details = json_array();
		json_object_set_new(policy, "failure-details", details);
	}
	detail = json_pack("{s:s}", "result-type", count->result);
	set_known(detail, "sending-mta-ip", count->sent_by);
	set_known(detail, "receiving-mx-hostname", count->host);
	set_known(detail, "receiving-ip", count->address);
	json_object_set_new(detail, "failed-session-count", json_integer(count->number));
	json_array_append_new(details, detail);
	return 0;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void
put_detail(struct pn_console *console, const char *domain, json_t *policy, json_t *detail)
{
	char number[32];

	snprintf(number, sizeof(number), "%lld",
	    (long long)json_integer_value(json_object_get(detail, "failed-session-count")));
	pn_console_row(console);
	pn_console_field(console, "domain", domain);
	pn_console_field(console, "policy",
	    json_string_value(json_object_get(json_object_get(policy, "policy"), "policy-type")));
	pn_console_field(
	    console, "result", json_string_value(json_object_get(detail, "result-type")));
	pn_console_field(
	    console, "host", json_string_value(json_object_get(detail, "receiving-mx-hostname")));
	pn_console_field(console, "sessions", number);
}

static void
put_table(struct pn_console *console, json_t *reports)
{
	const char *domain;
	json_t *report, *policy, *detail;
	size_t i, k;

	json_object_foreach(reports, domain, report)
	{
		json_array_foreach(json_object_get(report, "policies"), i, policy)
		{
			json_t *good = json_pack("{s:s, s:O}", "result-type", "good",
			    "failed-session-count",
			    json_object_get(json_object_get(policy, "summary"),
				"total-successful-session-count"));

			put_detail(console, domain, policy, good);
			json_decref(good);
			json_array_foreach(json_object_get(policy, "failure-details"), k, detail)
			    put_detail(console, domain, policy, detail);
		}
	}
}

/* A single domain's report stands alone, as it would be sent. */
static void
put_json(const struct report *report)
{
	struct pn_console *console = &report->ctl->console;
	const char *domain;
	json_t *one;

	console->single = report->request->domain != NULL;
	json_object_foreach(report->reports, domain, one) console_add(console, json_incref(one));
}

static int
run_report(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct request request;
	struct report report = { .ctl = ctl, .request = &request, .err = err };
	int code;

	if (read_request(argc, argv, &request, err) < 0)
		return EXIT_USAGE;
	code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	report.reports = json_object();
	report.r = tls_counts_each(ctl->db, request.day, request.domain, add_count, &report, err);
	if (report.r == 0 && request.domain && json_object_size(report.reports) == 0)
		report.r = pn_error_set(
		    err, -ENOENT, "nothing was counted for %s on that day", request.domain);
	if (report.r == 0 && ctl->console.json)
		put_json(&report);
	else if (report.r == 0)
		put_table(&ctl->console, report.reports);
	json_decref(report.reports);
	return report.r < 0 ? EXIT_REFUSED : EXIT_OK;
}

const struct ctl_command ctl_tls_report_commands[] = {
	{ "tls-report", "[--day DATE] [--domain DOMAIN]",
	    "Show how many sessions with other domains had TLS on a day (UTC; today), and why "
	    "others "
	    "had not; with --json in the form of RFC 8460 section 4.",
	    0, 4, run_report },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
