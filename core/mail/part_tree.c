/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_tree.c - from GMime's objects to our list of parts.
 *
 * Called once for each view of a message that somebody inspects. Must never keep a GMime object,
 * nor give a position that lies outside of the message or of the part around it.
 *
 * GMime says where header fields begin and where the content of leaves stands; what lies between,
 * where multiparts end above all, is found by looking at the lines again.
 */
#include <core/mail/part.h>
#include <core/mail/part_lines.h>
#include <core/mail/part_stream.h>
#include <errno.h>
#include <gmime/gmime.h>
#include <stdlib.h>

struct reader {
	struct mail_parts *tree;
	struct pn_slice bytes;
	struct part_lines lines; /* with the boundaries of the multiparts we are in */
	size_t fields;
	struct part_stream *stream;
	const char *why; /* it cannot be inspected; NULL: it can */
};

/* ---- while GMime parses ---------------------------------------------------------------------- */

static void
on_field(GMimeParser *parser, const char *name, const char *value, gint64 offset, gpointer data)
{
	struct reader *reader = data;

	if (++reader->fields <= MAIL_PARTS_FIELDS)
		return;
	reader->why = "too many header fields";
	part_stream_stop(reader->stream);
}

static void
on_warning(gint64 offset, GMimeParserWarning code, const gchar *item, gpointer data)
{
	struct reader *reader = data;

	if (code == GMIME_CRIT_NESTING_OVERFLOW)
		reader->why = "too many levels";
	else if (code == GMIME_CRIT_CONFLICTING_HEADER &&
		 (!g_ascii_strcasecmp(item, "Content-Type") ||
		     !g_ascii_strcasecmp(item, "Content-Transfer-Encoding")))
		reader->why = "header fields that contradict each other";
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* What the charset of a parameter does not explain comes as it is from GMime. */
static char *
copy_utf8(struct reader *reader, const char *text)
{
	char *valid = g_utf8_make_valid(text ? text : "", -1);
	char *copy = arena_text(&reader->tree->arena, valid);

	g_free(valid);
	return copy;
}

static const char *
lower(struct reader *reader, const char *text)
{
	char *copy = copy_utf8(reader, text);

	for (char *c = copy; *c; c++)
		*c = g_ascii_tolower(*c);
	return copy;
}

static void
read_parameters(struct reader *reader, GMimeParamList *list, struct pn_part *part)
{
	int count = g_mime_param_list_length(list);

	if (count <= 0)
		return;
	part->parameters = arena_alloc(
	    &reader->tree->arena, (size_t)count * sizeof(part->parameters[0]));
	for (int i = 0; i < count; i++) {
		GMimeParam *param = g_mime_param_list_get_parameter_at(list, i);

		part->parameters[part->parameter_count++] = (struct mail_parameter){
			.name = lower(reader, g_mime_param_get_name(param)),
			.value = copy_utf8(reader, g_mime_param_get_value(param)),
		};
	}
}

static void
read_encoding(struct reader *reader, GMimeObject *object, struct pn_part *part)
{
	const char *value = g_mime_object_get_header(object, "Content-Transfer-Encoding");
	size_t blank = value ? strspn(value, " \t\r\n") : 0;
	size_t len = value ? strcspn(value + blank, " \t\r\n;(") : 0;

	part->encoding = MAIL_ENCODING_PLAIN;
	part->encoding_name = "7bit";
	if (len == 0)
		return;
	part->encoding_name = lower(
	    reader, arena_slice(&reader->tree->arena, pn_slice(value + blank, len)));
	switch (g_mime_content_encoding_from_string(part->encoding_name)) {
	case GMIME_CONTENT_ENCODING_7BIT:
	case GMIME_CONTENT_ENCODING_8BIT:
	case GMIME_CONTENT_ENCODING_BINARY:
		break;
	case GMIME_CONTENT_ENCODING_BASE64:
		part->encoding = MAIL_ENCODING_BASE64;
		break;
	case GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE:
		part->encoding = MAIL_ENCODING_QP;
		break;
	case GMIME_CONTENT_ENCODING_UUENCODE:
		part->encoding = MAIL_ENCODING_UU;
		break;
	default:
		part->encoding = MAIL_ENCODING_UNKNOWN;
	}
}

static const char *
parameter(const struct pn_part *part, const char *name)
{
	for (size_t i = 0; i < part->parameter_count; i++)
		if (!strcmp(part->parameters[i].name, name))
			return part->parameters[i].value;
	return NULL;
}

static void
read_fields(struct reader *reader, GMimeObject *object, struct pn_part *part)
{
	struct arena *arena = &reader->tree->arena;
	GMimeContentType *type = g_mime_object_get_content_type(object);
	GMimeContentDisposition *disposition = g_mime_object_get_content_disposition(object);
	const char *major = g_mime_content_type_get_media_type(type);
	const char *minor = g_mime_content_type_get_media_subtype(type);

	part->type = lower(
	    reader, arena_printf(arena, "%s/%s", major ? major : "text", minor ? minor : "plain"));
	part->is_text = !strncmp(part->type, "text/", 5);
	read_parameters(reader, g_mime_content_type_get_parameters(type), part);
	read_encoding(reader, object, part);
	part->filename = parameter(part, "name");
	if (disposition) {
		const char *name = g_mime_content_disposition_get_parameter(
		    disposition, "filename");

		part->disposition = lower(
		    reader, g_mime_content_disposition_get_disposition(disposition));
		if (name)
			part->filename = copy_utf8(reader, name);
	}
	if (part->is_text) {
		const char *charset = parameter(part, "charset");

		part->charset = charset && *charset ? lower(reader, charset) : "us-ascii";
	}
}

/* ---- the list -------------------------------------------------------------------------------- */

static struct pn_part *
add_part(struct reader *reader, struct pn_part *parent)
{
	struct mail_parts *tree = reader->tree;
	struct pn_part *part = arena_alloc(&tree->arena, sizeof(*part));

	if (tree->count == tree->capacity) {
		struct pn_part **more;

		tree->capacity = tree->capacity ? 2 * tree->capacity : 8;
		more = arena_alloc(&tree->arena, tree->capacity * sizeof(struct pn_part *));
		if (tree->count > 0)
			memcpy(more, tree->parts, tree->count * sizeof(struct pn_part *));
		tree->parts = more;
	}
	part->tree = tree;
	part->index = tree->count;
	part->parent = parent;
	tree->parts[tree->count++] = part;
	return part;
}

/* Of the first field that GMime took for one, if that is before `least`. */
static size_t
first_field(GMimeObject *object, size_t least)
{
	GMimeHeaderList *list = g_mime_object_get_header_list(object);

	for (int i = 0; i < g_mime_header_list_get_count(list); i++) {
		gint64 at = g_mime_header_get_offset(g_mime_header_list_get_header_at(list, i));

		if (at >= 0 && (size_t)at < least)
			least = (size_t)at;
	}
	return least;
}

static bool
content_bounds(GMimeObject *object, size_t *ret_start, size_t *ret_end)
{
	GMimeDataWrapper *content = GMIME_IS_PART(object)
					? g_mime_part_get_content(GMIME_PART(object))
					: NULL;
	GMimeStream *stream = content ? g_mime_data_wrapper_get_stream(content) : NULL;

	if (!stream)
		return false;
	*ret_start = (size_t)stream->bound_start;
	*ret_end = (size_t)stream->bound_end;
	return true;
}

/* Where the first thing of a part stands that GMime knows the place of; SIZE_MAX if there is none.
 */
static size_t
first_place(GMimeMessage *message, GMimeObject *object)
{
	size_t least = SIZE_MAX, end;

	if (!content_bounds(object, &least, &end))
		least = SIZE_MAX;
	least = first_field(object, least);
	if (message)
		least = first_field((GMimeObject *)message, least);
	if (least == SIZE_MAX && GMIME_IS_MESSAGE_PART(object)) {
		GMimeMessage *inner = g_mime_message_part_get_message((GMimeMessagePart *)object);

		if (inner && g_mime_message_get_mime_part(inner)) {
			size_t place = first_place(inner, g_mime_message_get_mime_part(inner));

			least = place < least ? place : least;
		}
	}
	return least;
}

static struct pn_part *build(struct reader *reader, GMimeMessage *message, GMimeObject *object,
    struct pn_part *parent, size_t from);

static void
build_multipart(struct reader *reader, GMimeMultipart *multipart, struct pn_part *part)
{
	const char *boundary = parameter(part, "boundary");
	int count = g_mime_multipart_get_count(multipart);
	size_t at = part->body;

	/* Eight-bit ones are recoded by some readers and not by others. */
	if (boundary && (strlen(boundary) > MAIL_PARTS_BOUNDARY || !g_str_is_ascii(boundary)))
		reader->why = "a boundary that is not one";
	part_lines_open(&reader->lines, boundary);
	for (int i = 0; i < count; i++)
		at = build(reader, NULL, g_mime_multipart_get_part(multipart, i), part, at)->end;
	part_lines_close(&reader->lines);
	part->end = part_lines_end(&reader->lines, at);
}

static void
build_message(struct reader *reader, GMimeMessagePart *object, struct pn_part *part)
{
	GMimeMessage *message = g_mime_message_part_get_message(object);
	GMimeObject *root = message ? g_mime_message_get_mime_part(message) : NULL;

	if (root)
		part->end = build(reader, message, root, part, part->body)->end;
	else
		part->end = part_lines_end(&reader->lines, part->body);
}

static struct pn_part *
build(struct reader *reader, GMimeMessage *message, GMimeObject *object, struct pn_part *parent,
    size_t from)
{
	struct pn_part *part = add_part(reader, parent);
	size_t content = 0, end = 0;
	bool has_content = content_bounds(object, &content, &end);

	/* The header begins behind the boundary, whatever is no field in it. */
	part->start = from;
	if (!message)
		part->start = part_lines_behind(&reader->lines, from, first_place(message, object));
	read_fields(reader, object, part);
	part->body = has_content ? content : part_lines_body(&reader->lines, part->start);
	if (part->body < part->start)
		part->body = part->start;
	if (GMIME_IS_MULTIPART(object))
		build_multipart(reader, GMIME_MULTIPART(object), part);
	else if (GMIME_IS_MESSAGE_PART(object))
		build_message(reader, GMIME_MESSAGE_PART(object), part);
	else
		part->end = has_content ? part_lines_content_end(&reader->lines, part->body, end)
					: part->body;
	if (part->end < part->body)
		part->end = part->body;
	part->behind = reader->tree->count;
	if (part->behind > part->index + 1)
		part->is_text = false;
	return part;
}

/* A message in which GMime finds no header: text, all of it (RFC 5322 section 2.1). */
static void
build_headless(struct reader *reader)
{
	struct pn_part *part = add_part(reader, NULL);

	part->type = "text/plain";
	part->charset = "us-ascii";
	part->encoding_name = "7bit";
	part->is_text = true;
	part->end = reader->bytes.len;
	part->behind = 1;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void
run_parser(struct reader *reader)
{
	GMimeParserOptions *options = g_mime_parser_options_new();
	GMimeParser *parser = g_mime_parser_new();
	GMimeMessage *message;

	g_mime_parser_options_set_warning_callback(options, on_warning, reader);
	reader->stream = part_stream_new(reader->bytes);
	g_mime_parser_init_with_stream(parser, (GMimeStream *)reader->stream);
	g_mime_parser_set_header_regex(parser, "", on_field, reader);
	message = g_mime_parser_construct_message(parser, options);
	if (part_stream_stopped(reader->stream) && !reader->why)
		reader->why = "a line that cannot be read";
	if (!reader->why && message && g_mime_message_get_mime_part(message))
		build(reader, message, g_mime_message_get_mime_part(message), NULL, 0);
	else if (!reader->why)
		build_headless(reader);
	if (message)
		g_object_unref(message);
	g_object_unref(parser);
	g_object_unref(reader->stream);
	g_mime_parser_options_free(options);
}

static struct mail_parts *
new_tree(struct mail_bytes *bytes)
{
	struct mail_parts *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return NULL;
	tree->references = 1;
	tree->bytes = mail_bytes_hold(bytes);
	tree->view = pn_slice(bytes->data ? bytes->data : "", bytes->len);
	pthread_mutex_init(&tree->lock, NULL);
	return tree;
}

int
mail_parts_read(struct mail_bytes *bytes, struct mail_parts **ret, struct pn_error *err)
{
	struct reader reader = { .tree = NULL };
	int r;

	if (bytes->len >= UINT32_MAX ||
	    mail_parts_scan(pn_slice(bytes->data, bytes->len), MAIL_PARTS_MOST) < 0)
		return pn_error_set(err, -EOVERFLOW, "cannot be inspected: too many parts");
	reader.tree = new_tree(bytes);
	if (!reader.tree)
		return -ENOMEM;
	reader.bytes = reader.tree->view;
	part_gmime_init();
	part_lines_begin(&reader.lines, reader.bytes);
	run_parser(&reader);
	part_lines_free(&reader.lines);
	if (reader.why) {
		r = pn_error_set(err, -EOVERFLOW, "cannot be inspected: %s", reader.why);
		mail_parts_release(&reader.tree);
		return r;
	}
	*ret = reader.tree;
	return 0;
}

struct mail_parts *
mail_parts_hold(struct mail_parts *parts)
{
	__atomic_fetch_add(&parts->references, 1, __ATOMIC_RELAXED);
	return parts;
}

void
mail_parts_release(struct mail_parts **parts)
{
	struct mail_parts *old = *parts;

	*parts = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < old->count; i++) {
		mail_bytes_release(&old->parts[i]->raw);
		mail_bytes_release(&old->parts[i]->text);
	}
	mail_bytes_release(&old->bytes);
	pthread_mutex_destroy(&old->lock);
	arena_free(&old->arena);
	free(old);
}
