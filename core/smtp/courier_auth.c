/* SPDX-License-Identifier: Apache-2.0 */
/*
 * courier_auth.c - AUTH at a next hop (RFC 4954): PLAIN or LOGIN, with the route's name and
 * password or with somebody's own.
 *
 * Called by courier_greet.c before the first letter. Must never send a password in clear to another
 * machine, let one stand in an error, or keep one that is somebody's own in memory.
 */
#include <core/base/text.h>
#include <core/smtp/courier_parts.h>
#include <errno.h>
#include <stdio.h>

#define AUTH_MOST  4096u
#define ECHO_LEAST 4u  /* what is shorter may stand anywhere */
#define ECHO_PART  12u /* of what was sent in base64 */

struct login {
	struct buf text; /* of somebody's own */
	struct pn_slice user, password;
};

static int
login_get(const struct courier_target *target, struct login *ret)
{
	const char *end;
	int r;

	*ret = (struct login){ .text = BUF_INIT(AUTH_MOST) };
	if (!target->login) {
		ret->user = pn_slice_of(target->user);
		ret->password = target->password;
		return 0;
	}
	r = target->login(target->login_of, &ret->text);
	if (r < 0)
		return r;
	end = memchr(ret->text.data, '\0', ret->text.len);
	if (!end)
		return -EBADMSG;
	ret->user = pn_slice(ret->text.data, (size_t)(end - ret->text.data));
	ret->password = pn_slice(end + 1, ret->text.len - ret->user.len - 1);
	return 0;
}

static void
login_end(struct login *login)
{
	buf_wipe(&login->text);
}

/* It was sealed under a key that is not configured any more. */
static void
cannot_open(struct courier *courier)
{
	courier_give_up(courier, "454 4.7.0",
	    "name and password for it cannot be opened; the key is not the one they were sealed "
	    "with");
}

/* "prefix base64(bytes) CRLF", overwritten in memory once it is queued. */
static void
say_secret(struct courier *courier, const char *prefix, struct pn_slice bytes)
{
	struct buf line = BUF_INIT(AUTH_MOST);
	int r = buf_reserve(&line, AUTH_MOST); /* growing would leave copies */

	if (r == 0)
		r = buf_add_text(&line, prefix);
	if (r == 0)
		r = text_base64_encode(bytes, &line);
	if (r == 0)
		r = buf_add(&line, "\r\n", 2);
	courier->spoke = true;
	if (r == 0)
		r = stream_write(&courier->stream, line.data, line.len);
	buf_wipe(&line);
	if (r < 0)
		courier_give_up(courier, "451 4.3.0", "user and password are too long for AUTH");
	courier_flush(courier);
}

/* RFC 4616: nothing, NUL, user, NUL, password. */
static int
write_plain(const struct login *login, struct buf *ret)
{
	int r = buf_reserve(ret, login->user.len + login->password.len + 2);

	if (r == 0)
		r = buf_add(ret, "", 1);
	if (r == 0)
		r = buf_add(ret, login->user.data, login->user.len);
	if (r == 0)
		r = buf_add(ret, "", 1);
	if (r == 0 && login->password.len > 0)
		r = buf_add(ret, login->password.data, login->password.len);
	return r;
}

static void
say_plain(struct courier *courier, const struct login *login)
{
	struct buf text = BUF_INIT(AUTH_MOST);
	int r = write_plain(login, &text);

	courier_expect(courier, COURIER_AUTH_PLAIN, courier->parts.limits->hello);
	if (r == 0)
		say_secret(courier, "AUTH PLAIN ", buf_slice(&text));
	else
		courier_give_up(courier, "451 4.3.0", "user and password are too long for AUTH");
	buf_wipe(&text);
}

/* Opened for this line alone. */
static void
say_part(struct courier *courier, enum courier_state state)
{
	struct login login;

	if (login_get(courier->parts.target, &login) < 0) {
		cannot_open(courier);
	} else if (state == COURIER_AUTH_PLAIN) {
		say_plain(courier, &login);
	} else {
		courier_expect(courier, state, courier->parts.limits->hello);
		say_secret(courier, "", state == COURIER_AUTH_USER ? login.user : login.password);
	}
	login_end(&login);
}

void
courier_begin_auth(struct courier *courier)
{
	const struct address *address = &courier->lookup->request.addresses[courier->address_at];

	if (!courier_is_secure(courier) && !address_is_loopback(address)) {
		courier_give_up(courier, "454 4.7.0",
		    "no TLS there, and the password does not travel in clear");
	} else if (courier->offers & COURIER_OFFERS_PLAIN) {
		say_part(courier, COURIER_AUTH_PLAIN);
	} else if (courier->offers & COURIER_OFFERS_LOGIN) {
		courier_say(courier, "AUTH LOGIN\r\n");
		courier_expect(courier, COURIER_AUTH_LOGIN, courier->parts.limits->hello);
		courier_flush(courier);
	} else {
		courier_give_up(courier, "454 4.7.0", "neither AUTH PLAIN nor LOGIN is offered");
	}
}

/* ---- refused --------------------------------------------------------------------------------- */

static bool
has_base64(const char *text, struct pn_slice bytes)
{
	struct buf code = BUF_INIT(AUTH_MOST);
	const char *word = NULL;
	bool found;

	if (text_base64_encode(bytes, &code) == 0)
		word = buf_text(&code);
	found = !word || strstr(text, word);
	for (size_t i = 0; !found && i + ECHO_PART <= code.len; i++) /* it may be cut */
		found = memmem(text, strlen(text), word + i, ECHO_PART) != NULL;
	buf_wipe(&code);
	return found;
}

/* Servers that do not understand a line like to repeat it. */
static bool
tells_password(const char *text, const struct login *login)
{
	struct buf plain = BUF_INIT(AUTH_MOST);
	bool found = login->password.len >= ECHO_LEAST &&
		     memmem(text, strlen(text), login->password.data, login->password.len);

	if (!found)
		found = has_base64(text, login->password) || write_plain(login, &plain) < 0 ||
			has_base64(text, buf_slice(&plain));
	buf_wipe(&plain);
	return found;
}

static bool
tells_name(const char *text, const struct login *login)
{
	return login->user.len >= ECHO_LEAST &&
	       memmem(text, strlen(text), login->user.data, login->user.len);
}

/* A wrong password is wrong at the next address too, and locks accounts. */
static void
give_up(struct courier *courier, const struct reply *reply)
{
	const struct courier_target *target = courier->parts.target;
	char text[COURIER_TEXT / 2];
	struct login login;

	reply_print(reply, text, sizeof(text));
	if (login_get(target, &login) < 0 || tells_password(text, &login) ||
	    (target->login && tells_name(text, &login)))
		snprintf(text, sizeof(text), "%d", reply->code);
	login_end(&login);
	courier->turned_away = target->login && reply->code / 100 == 5;
	if (target->user)
		courier_give_up(courier, "454 4.7.0", "AUTH as %s: %s", target->user, text);
	else
		courier_give_up(
		    courier, courier->turned_away ? "454 4.7.8" : "454 4.7.0", "AUTH: %s", text);
}

void
courier_on_auth(struct courier *courier, const struct reply *reply)
{
	enum courier_state state = courier->state;
	bool mid_way = state == COURIER_AUTH_LOGIN || state == COURIER_AUTH_USER;

	if (reply->code / 100 == 2 && !mid_way)
		courier_become_ready(courier);
	else if (reply->code == 334 && mid_way)
		say_part(courier,
		    state == COURIER_AUTH_LOGIN ? COURIER_AUTH_USER : COURIER_AUTH_PASSWORD);
	else
		give_up(courier, reply);
}
