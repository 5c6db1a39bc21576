/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_plan.c - wanting protection, demanding TLS, choosing methods, writing renderings.
 *
 * Called by hooks and providers. All of it is staged in the call.
 */
#include <core/base/text.h>
#include <core/mail/address.h>
#include <core/policy/call.h>
#include <core/policy/demand.h>
#include <core/policy/plans.h>
#include <core/queue/route.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define AT_WANTING \
	(CALL_AT(PN_STAGE_SENDER) | CALL_AT(PN_STAGE_RECIPIENT) | CALL_AT(PN_STAGE_MESSAGE))
#define AT_DEMANDING (CALL_AT(PN_STAGE_RECIPIENT) | CALL_AT(PN_STAGE_SELECT))
#define AT_PROTECT   CALL_AT(PN_STAGE_PROTECT)

/* ---- wanting and demanding ------------------------------------------------------------------- */

int
pn_want_protection(struct pn_call *call, const char *why)
{
	int r = call->entry->module->flags & PN_WANTS ? call_may_change(call, AT_WANTING) : -EPERM;

	if (r < 0)
		return r;
	call->want.wanted = call->stage;
	call->want.why = arena_text(&call->arena, why ? why : "protection is wanted");
	return 0;
}

int
pn_opt_out(struct pn_call *call, const char *why)
{
	int r = call_may_change(call, AT_WANTING);

	if (r < 0)
		return r;
	call->want.opted_out = call->stage;
	call->want.why = arena_text(&call->arena, why ? why : "opted out");
	return 0;
}

/* Of the subject, or of any. */
static bool
of_any(const struct pn_txn *txn, bool (*asked)(const struct pn_txn *, size_t),
    const struct mail_want *alone)
{
	if (txn->recipient >= 0)
		return asked(txn, (size_t)txn->recipient);
	for (size_t i = 0; i < txn->envelope.count; i++)
		if (asked(txn, i))
			return true;
	return txn->envelope.count == 0 && alone;
}

bool
pn_txn_protection_wanted(const struct pn_txn *txn)
{
	const struct mail_want *all = &txn->want;

	return of_any(txn, want_protection, all->wanted > all->opted_out ? all : NULL);
}

bool
pn_txn_opted_out(const struct pn_txn *txn)
{
	const struct mail_want *all = &txn->want;

	return of_any(
	    txn, want_opted_out, all->opted_out > 0 && all->opted_out >= all->wanted ? all : NULL);
}

int
pn_demand_tls(struct pn_call *call, int bits, enum pn_tls_level level)
{
	const struct pn_tls_terms terms = {
		.size = sizeof(terms), .bits = bits, .level = (int32_t)level
	};

	return pn_demand_tls_terms(call, &terms);
}

int
pn_demand_tls_terms(struct pn_call *call, const struct pn_tls_terms *terms)
{
	struct mail_demand demand;
	int r = call_may_change(call, AT_DEMANDING);

	if (r == 0)
		r = demand_of_terms(terms, &call->arena, &demand, NULL);
	if (r == 0)
		mail_demand_add(&call->demand, &demand, &call->arena);
	return r;
}

/* ---- choosing -------------------------------------------------------------------------------- */

bool
pn_txn_is_provisional(const struct pn_txn *txn)
{
	return txn->provisional;
}

int
pn_txn_plan_number(const struct pn_txn *txn)
{
	return txn->plan_number > 1 ? (int)txn->plan_number : 1;
}

const char *
pn_txn_replan_reason(const struct pn_txn *txn)
{
	return txn->replan_reason;
}

/* ---- groups ---------------------------------------------------------------------------------- */

size_t
pn_group_count(const struct pn_txn *txn)
{
	return txn->group ? txn->group->count : 0;
}

const char *
pn_group_recipient(const struct pn_txn *txn, size_t index)
{
	return index < pn_group_count(txn) ? pn_txn_recipient_at(txn, txn->group->members[index])
					   : NULL;
}

struct pn_slice
pn_group_choice(const struct pn_txn *txn, size_t index)
{
	return index < pn_group_count(txn) ? txn->plans->of[txn->group->members[index]].choice
					   : pn_slice(NULL, 0);
}

size_t
pn_group_number(const struct pn_txn *txn)
{
	return txn->group ? txn->group->number : 0;
}

const char *
pn_group_method(const struct pn_txn *txn)
{
	return txn->group ? txn->group->by.method : PROVIDER_NONE;
}

int
pn_group_refuse(struct pn_call *call, size_t index, const char *format, ...)
{
	int r = call_may_change(call, AT_PROTECT);
	size_t count = r == 0 ? pn_group_count(call->txn) : 0;
	char text[CALL_TEXT_MOST + 1];
	va_list args;

	if (r < 0)
		return r;
	if (index >= count)
		return -EINVAL;
	if (!call->declined)
		call->declined = arena_alloc(&call->arena, count * sizeof(*call->declined));
	call->declined_count += !call->declined[index];
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	call->declined[index] = arena_text(&call->arena, text);
	return 0;
}

/* ---- renderings ------------------------------------------------------------------------------ */

static int
append(struct pn_call *call, const void *data, size_t len)
{
	int r = call->rendered ? 0 : mail_bytes_new_message(0, 0, &call->rendered);

	return r < 0 ? r : mail_bytes_append(call->rendered, data, len, SIZE_MAX);
}

static int
may_render(const struct pn_call *call, bool header)
{
	int r = call_may_change(call, AT_PROTECT);

	return r == 0 && header && call->rendered_body ? -EINVAL : r;
}

static bool
is_less(struct pn_slice name, const char *const *less)
{
	for (; less && *less; less++)
		if (text_is(name, *less))
			return true;
	return false;
}

int
pn_render_copy_header(struct pn_call *call, const char *const *less)
{
	const struct pn_txn *txn = call->txn;
	int r = may_render(call, true);

	for (size_t i = 0; i < txn->header.count && r == 0; i++) {
		const struct mail_field *field = &txn->header.fields[i];
		const char *data = txn->view->data + field->start;
		size_t len = field->end - field->start;

		if (field->name_len == 0 || is_less(pn_slice(data, field->name_len), less))
			continue;
		r = append(call, data, len);
		if (r == 0 && data[len - 1] != '\n') /* BDAT can bring a header without its end */
			r = append(call, "\r\n", 2);
	}
	return r;
}

int
pn_render_header(struct pn_call *call, const char *name, const char *value)
{
	const char *text;
	int r = may_render(call, true);

	if (r < 0)
		return r;
	if (!mail_header_name_valid(name) || !mail_header_value_valid(value))
		return -EINVAL;
	text = arena_printf(
	    &call->arena, "%s:%s%s\r\n", name, *value == ' ' || *value == '\t' ? "" : " ", value);
	return append(call, text, strlen(text));
}

int
pn_render_body(struct pn_call *call, struct pn_slice bytes)
{
	int r = may_render(call, false);

	if (r == 0 && !call->rendered_body)
		r = append(call, "\r\n", 2);
	if (r < 0)
		return r;
	call->rendered_body = true;
	return append(call, bytes.data, bytes.len);
}

int
pn_render_sender(struct pn_call *call, const char *address)
{
	char checked[MAIL_ADDRESS_SIZE] = "";
	int r = may_render(call, false);

	if (r == 0 && *address)
		r = mail_address_check(pn_slice_of(address), true, checked) < 0 ? -EINVAL : 0;
	if (r == 0)
		call->rendered_sender = arena_text(&call->arena, checked);
	return r;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

const struct pn_outcome *
pn_txn_outcome(const struct pn_txn *txn)
{
	return txn->outcome;
}

/* ---- what is known of the next hop ----------------------------------------------------------- */

int
pn_recipient_tls_bits(const struct pn_call *call)
{
	const struct routes *routes = generation_routes(call->generation);
	const struct pn_txn *txn = call->txn;
	struct config_subject subject;

	if (!routes || !txn || txn->recipient < 0)
		return -ENOENT;
	subject = (struct config_subject){
		.facts = &txn->facts,
		.sender = txn->envelope.sender,
		.original_sender = txn->envelope.original_sender,
		.recipient = txn->envelope.recipients[txn->recipient].address,
		.user_relay = txn->envelope.recipients[txn->recipient].added
				  ? NULL
				  : txn->envelope.user_relay,
		.tags = txn->tags,
		.tag_count = txn->tag_count,
		.size = txn->view ? mail_bytes_size(txn->view) : txn->size,
	};
	return routes_tls_bits(routes, &subject);
}
