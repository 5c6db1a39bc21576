/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_envelope.c - the arguments of MAIL and RCPT: a path and ESMTP parameters.
 *
 * Called by the session. Finds where the address is; whether it is one, core/mail/address.c says.
 * Each parameter may stand once. A blank behind the colon is tolerated, as submission servers do.
 */
#include <core/base/text.h>
#include <core/smtp/command.h>
#include <core/smtp/command_words.h>
#include <errno.h>

#define ENVID_MOST 100u /* RFC 3461 section 4.4 */
#define ORCPT_MOST 500u /* RFC 3461 section 4.2 */
#define AUTH_MOST  500u /* RFC 4954 section 3 */

struct parameter {
	struct pn_slice name, value; /* value.data NULL: no '=' */
};

static int
bad_value(struct command_fault *fault, const char *text)
{
	return command_refuse(fault, 501, "5.5.4", text);
}

/* Length of "<...>" at the start of `text`, with quoted strings minded; 0 if it does not close. */
static size_t
path_len(struct pn_slice text)
{
	bool quoted = false;

	if (text.len < 2 || text.data[0] != '<')
		return 0;
	for (size_t i = 1; i < text.len; i++) {
		char c = text.data[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '>' && !quoted)
			return i + 1;
		else if (c == '<' && !quoted)
			return 0;
	}
	return 0;
}

/* "<@relay1,@relay2:user@host>" is user@host (RFC 5321 section 4.1.1.3). */
static struct pn_slice
without_route(struct pn_slice path)
{
	const char *colon;
	size_t skip;

	if (path.len == 0 || path.data[0] != '@')
		return path;
	colon = memchr(path.data, ':', path.len);
	if (!colon)
		return path;
	skip = (size_t)(colon - path.data) + 1;
	return pn_slice(path.data + skip, path.len - skip);
}

/* "FROM:<path>": the rest, parameters, stays in `*text`. -EINVAL. */
static int
take_path(struct pn_slice *text, const char *word, struct pn_slice *ret)
{
	size_t len = strlen(word);

	if (text->len < len || !text_is(pn_slice(text->data, len), word))
		return -EINVAL;
	*text = pn_slice(text->data + len, text->len - len);
	while (text->len > 0 && command_is_blank(*text->data))
		*text = pn_slice(text->data + 1, text->len - 1);
	len = path_len(*text);
	if (len == 0 || (len < text->len && !command_is_blank(text->data[len])))
		return -EINVAL;
	*ret = without_route(pn_slice(text->data + 1, len - 2));
	*text = pn_slice(text->data + len, text->len - len);
	return 0;
}

static bool
keyword_valid(struct pn_slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			(c == '-' && i > 0)))
			return false;
	}
	return name.len > 0;
}

/* 1: a parameter. 0: no more. */
static int
take_parameter(struct pn_slice *text, struct parameter *ret, struct command_fault *fault)
{
	struct pn_slice word = command_word(text);
	const char *equals = word.len > 0 ? memchr(word.data, '=', word.len) : NULL;

	if (word.len == 0)
		return 0;
	*ret = (struct parameter){ .name = word };
	if (equals) {
		ret->name.len = (size_t)(equals - word.data);
		ret->value = pn_slice(equals + 1, word.len - ret->name.len - 1);
	}
	for (size_t i = 0; i < ret->value.len; i++)
		if ((unsigned char)ret->value.data[i] < ' ' || ret->value.data[i] == 0x7f)
			return bad_value(fault, "Control character in a parameter");
	if (!keyword_valid(ret->name) || (equals && ret->value.len == 0))
		return bad_value(fault, "Syntax error in parameters");
	return 1;
}

/* ---- MAIL -------------------------------------------------------------------------------------
 */

static int
mail_size(struct command_mail *mail, struct pn_slice value, struct command_fault *fault)
{
	int r = command_number(value, &mail->size);

	if (r == -ERANGE) {
		mail->size = UINT64_MAX; /* larger than any limit */
		r = 0;
	}
	mail->has_size = true;
	return r < 0 ? bad_value(fault, "SIZE takes a number of octets") : 0;
}

static int
mail_body(struct command_mail *mail, struct pn_slice value, struct command_fault *fault)
{
	if (text_is(value, "7BIT"))
		mail->body = COMMAND_BODY_7BIT;
	else if (text_is(value, "8BITMIME"))
		mail->body = COMMAND_BODY_8BITMIME;
	else if (text_is(value, "BINARYMIME"))
		mail->body = COMMAND_BODY_BINARYMIME;
	else
		return bad_value(fault, "BODY takes 7BIT, 8BITMIME or BINARYMIME");
	return 0;
}

static int
mail_smtputf8(struct command_mail *mail, struct pn_slice value, struct command_fault *fault)
{
	mail->smtputf8 = true;
	return value.data ? bad_value(fault, "SMTPUTF8 takes no value") : 0;
}

static int
mail_ret(struct command_mail *mail, struct pn_slice value, struct command_fault *fault)
{
	if (text_is(value, "FULL"))
		mail->ret = MAIL_RET_FULL;
	else if (text_is(value, "HDRS"))
		mail->ret = MAIL_RET_HDRS;
	else
		return bad_value(fault, "RET takes FULL or HDRS");
	return 0;
}

static int
mail_envid(struct command_mail *mail, struct pn_slice value, struct command_fault *fault)
{
	mail->envid = value;
	if (value.len == 0 || value.len > ENVID_MOST || !command_xtext_valid(value))
		return bad_value(fault, "ENVID takes at most 100 characters of xtext");
	return 0;
}

static int
mail_auth(struct command_mail *mail, struct pn_slice value, struct command_fault *fault)
{
	mail->auth = value;
	if (value.len == 0 || value.len > AUTH_MOST || !command_xtext_valid(value))
		return bad_value(fault, "AUTH takes <> or an address in xtext");
	return 0;
}

static int
mail_requiretls(struct command_mail *mail, struct pn_slice value, struct command_fault *fault)
{
	mail->requiretls = true;
	return value.data ? bad_value(fault, "REQUIRETLS takes no value") : 0;
}

static const struct {
	const char *name;
	int (*take)(struct command_mail *, struct pn_slice, struct command_fault *);
} mail_parameters[] = {
	{ "SIZE", mail_size },
	{ "BODY", mail_body },
	{ "SMTPUTF8", mail_smtputf8 },
	{ "RET", mail_ret },
	{ "ENVID", mail_envid },
	{ "AUTH", mail_auth },
	{ "REQUIRETLS", mail_requiretls },
};
#define MAIL_PARAMETERS (sizeof(mail_parameters) / sizeof(*mail_parameters))

static int
take_mail_parameter(struct command_mail *mail, const struct parameter *parameter, unsigned *seen,
    struct command_fault *fault)
{
	for (size_t i = 0; i < MAIL_PARAMETERS; i++) {
		if (!text_is(parameter->name, mail_parameters[i].name))
			continue;
		if (*seen & (1u << i))
			return bad_value(fault, "A parameter stands twice");
		*seen |= 1u << i;
		return mail_parameters[i].take(mail, parameter->value, fault);
	}
	return command_refuse(fault, 555, "5.5.4", "Parameter not offered here");
}

int
command_mail(struct pn_slice argument, struct command_mail *ret, struct command_fault *ret_fault)
{
	struct parameter parameter;
	unsigned seen = 0;
	int r;

	*ret = (struct command_mail){ 0 };
	if (take_path(&argument, "FROM:", &ret->path) < 0)
		return command_refuse(
		    ret_fault, 501, "5.5.4", "Syntax: MAIL FROM:<address> [parameters]");
	while ((r = take_parameter(&argument, &parameter, ret_fault)) > 0) {
		r = take_mail_parameter(ret, &parameter, &seen, ret_fault);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- RCPT -------------------------------------------------------------------------------------
 */

static int
rcpt_notify(struct command_rcpt *rcpt, struct pn_slice value, struct command_fault *fault)
{
	static const struct {
		const char *word;
		uint32_t bit;
	} words[] = {
		{ "NEVER", MAIL_NOTIFY_NEVER },
		{ "SUCCESS", MAIL_NOTIFY_SUCCESS },
		{ "FAILURE", MAIL_NOTIFY_FAILURE },
		{ "DELAY", MAIL_NOTIFY_DELAY },
	};
	size_t at = 0, len;

	do {
		const char *comma = value.len > at ? memchr(value.data + at, ',', value.len - at)
						   : NULL;
		uint32_t bit = 0;

		len = comma ? (size_t)(comma - value.data) - at : value.len - at;
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
			if (len > 0 && text_is(pn_slice(value.data + at, len), words[i].word))
				bit = words[i].bit;
		if (!bit)
			return bad_value(fault, "NOTIFY takes NEVER or SUCCESS,FAILURE,DELAY");
		rcpt->notify |= bit;
		at += len + 1;
	} while (at <= value.len);
	if ((rcpt->notify & MAIL_NOTIFY_NEVER) && rcpt->notify != MAIL_NOTIFY_NEVER)
		return bad_value(fault, "NOTIFY=NEVER stands alone");
	return 0;
}

/* The address of a "utf-8" ORCPT may have bytes above ASCII (RFC 6533 section 3). */
static bool
orcpt_text_valid(struct pn_slice type, struct pn_slice text)
{
	if (!text_is(type, "utf-8"))
		return command_xtext_valid(text);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c <= ' ' || c == 0x7f || c == '=' || c == '+')
			return false;
	}
	return true;
}

static int
rcpt_orcpt(struct command_rcpt *rcpt, struct pn_slice value, struct command_fault *fault)
{
	const char *semicolon = value.len > 0 ? memchr(value.data, ';', value.len) : NULL;
	struct pn_slice type, text;

	rcpt->orcpt = value;
	if (!semicolon || value.len > ORCPT_MOST)
		return bad_value(fault, "ORCPT takes type;address in xtext");
	type = pn_slice(value.data, (size_t)(semicolon - value.data));
	text = pn_slice(semicolon + 1, value.len - type.len - 1);
	if (!keyword_valid(type) || text.len == 0 || !orcpt_text_valid(type, text))
		return bad_value(fault, "ORCPT takes type;address in xtext");
	return 0;
}

int
command_rcpt(struct pn_slice argument, struct command_rcpt *ret, struct command_fault *ret_fault)
{
	struct parameter parameter;
	int r;

	*ret = (struct command_rcpt){ 0 };
	if (take_path(&argument, "TO:", &ret->path) < 0 || ret->path.len == 0)
		return command_refuse(
		    ret_fault, 501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]");
	while ((r = take_parameter(&argument, &parameter, ret_fault)) > 0) {
		if (text_is(parameter.name, "NOTIFY"))
			r = ret->notify ? bad_value(ret_fault, "A parameter stands twice")
					: rcpt_notify(ret, parameter.value, ret_fault);
		else if (text_is(parameter.name, "ORCPT"))
			r = ret->orcpt.data ? bad_value(ret_fault, "A parameter stands twice")
					    : rcpt_orcpt(ret, parameter.value, ret_fault);
		else
			r = command_refuse(ret_fault, 555, "5.5.4", "Parameter not offered here");
		if (r < 0)
			return r;
	}
	return r;
}
