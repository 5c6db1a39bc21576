/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_show.c - what a trial came to: a row for each verdict, recipient and reply, and the
 * messages as they would leave.
 *
 * Called by posternctl explain. Must overwrite nothing.
 */
#include <core/ctl/explain.h>
#include <core/policy/stage.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void
row(struct ctl *ctl, const char *step, const char *recipient, const char *entry,
    const char *verdict, const char *why, const char *scope)
{
	console_add(&ctl->console,
	    json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "step", step, "recipient",
		console_text(recipient), "entry", console_text(entry), "verdict",
		console_text(verdict), "why", console_text(why), "scope", console_text(scope)));
}

static void
show_trace(struct ctl *ctl, const struct pn_txn *txn)
{
	for (size_t i = 0; i < txn->trace_count; i++) {
		const struct trace_line *line = &txn->trace[i];

		if (line->stage != PN_STAGE_ABORTED)
			row(ctl, stage_name(line->stage), line->recipient, line->entry,
			    line->verdict, line->reason, line->scope);
	}
}

static const char *
reply_text(struct arena *arena, const struct ruling *ruling)
{
	return arena_printf(arena, "%d %s %s", ruling->code, ruling->enhanced, ruling->text);
}

/* ---- the renderings -------------------------------------------------------------------------- */

static int
write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_rendering(int folder, const char *name, struct pn_slice bytes)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : write_all(fd, bytes.data, bytes.len);

	if (fd >= 0 && close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static size_t
file_count(const struct item *item)
{
	return item->rendering_count > 0 ? item->rendering_count : 1;
}

/* DIR/1.eml and so on, in the order of the recipients' plans. */
static int
write_renderings(const struct item *item, int folder, const char *folder_name, struct pn_error *err)
{
	for (size_t i = 0; i < file_count(item); i++) {
		struct mail_rendering own = { .len = item->size };
		char name[32];
		int r;

		if (item->rendering_count > 0)
			own = item->renderings[i];
		snprintf(name, sizeof(name), "%zu.eml", i + 1);
		r = write_rendering(
		    folder, name, pn_slice(item->bytes->data + own.offset, own.len));
		if (r < 0)
			return pn_error_set(err, r, "%s/%s: %s%s", folder_name, name, strerror(-r),
			    r == -EEXIST ? "; give a folder without it" : "");
	}
	return 0;
}

/* ---- recipients and the reply ---------------------------------------------------------------- */

/* "by rule; 1234 bytes; before: pki: no key; TLS of 112 bits at level 1, or ..." */
static const char *
plan_text(struct arena *arena, const struct item *item, uint32_t index)
{
	const struct mail_plan *plan = &item->recipients[index].plan;
	struct mail_rendering own = item_rendering(item, index);
	const char *text = arena_printf(arena, "%zu bytes", own.len);

	if (plan->reason)
		text = arena_printf(arena, "%s; %s", plan->reason, text);
	if (own.sender)
		text = arena_printf(arena, "%s; return path <%s>", text, own.sender);
	if (plan->passed)
		text = arena_printf(arena, "%s; before: %s", text, plan->passed);
	if (mail_demand_is_any(&plan->demand))
		text = arena_printf(arena, "%s; %s, or %s", text,
		    mail_demand_text(&plan->demand, arena),
		    plan->next && *plan->next ? plan->next : "a bounce");
	return text;
}

static void
show_refused(struct ctl *ctl, struct trial *trial)
{
	for (size_t i = 0; i < trial->count; i++)
		if (trial->recipients[i].refused.kind != RULING_PASS)
			row(ctl, "result", trial->recipients[i].address,
			    trial->recipients[i].refused.entry, "refused",
			    reply_text(&trial->txn->arena, &trial->recipients[i].refused), NULL);
}

static void
show_plans(struct ctl *ctl, struct item *item, const char *folder_name)
{
	for (size_t i = 0; i < item->envelope.count; i++) {
		const struct mail_plan *plan = &item->recipients[i].plan;

		row(ctl, "result", item->envelope.recipients[i].address, plan->entry,
		    plan->unserved ? "unserved" : mail_plan_method(plan),
		    plan->unserved ? plan->unserved : plan_text(&item->arena, item, (uint32_t)i),
		    NULL);
		if (folder_name && !plan->unserved)
			pn_console_field(&ctl->console, "file",
			    arena_printf(
				&item->arena, "%s/%u.eml", folder_name, plan->rendering + 1));
	}
}

static void
show_reply(struct ctl *ctl, struct trial *trial)
{
	const char *verdict = trial->reply.kind == RULING_PASS ? "accepted" : "refused";

	if (trial->held)
		row(ctl, "reply", NULL, trial->reply.entry, "held", trial->reply.text, NULL);
	else if (trial->discarded)
		row(ctl, "reply", NULL, trial->reply.entry, "discarded", trial->reply.text, NULL);
	else
		row(ctl, "reply", NULL, trial->reply.entry, verdict,
		    reply_text(&trial->txn->arena, &trial->reply), NULL);
}

/* Every row has the same fields. */
static void
fill_column(struct pn_console *console, const char *name)
{
	json_t *one;
	size_t i;

	json_array_foreach(console->rows, i, one)
	{
		if (!json_object_get(one, name))
			json_object_set_new(one, name, json_null());
	}
}

int
explain_show(
    struct ctl *ctl, struct trial *trial, int folder, const char *name, struct pn_error *err)
{
	int r = 0;

	show_trace(ctl, trial->txn);
	show_refused(ctl, trial);
	if (trial->item && folder >= 0)
		r = write_renderings(trial->item, folder, name, err);
	if (trial->item)
		show_plans(ctl, trial->item, name);
	show_reply(ctl, trial);
	if (name)
		fill_column(&ctl->console, "file");
	return r;
}
