/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_stream.c - the stream that GMime reads a message from.
 *
 * Called by part_tree.c for the time of one parse. Must never copy the message.
 */
#include <core/mail/part_stream.h>
#include <gmime/gmime.h>
#include <pthread.h>

struct part_stream {
	GMimeStreamMem parent;
	GByteArray bytes; /* only its data and length are looked at: the bounds let nothing grow */
	bool stopped;
};
struct part_stream_class {
	GMimeStreamMemClass parent;
};

static GType stream_type;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* How much of a line that does not end here may be read: up to where no boundary seems to begin. */
static size_t
cut_line(const guint8 *data, size_t len)
{
	while (len > 0 && data[len] == '-')
		len--;
	return len;
}

static ssize_t
read_lines(GMimeStream *stream, char *buf, size_t len)
{
	struct part_stream *self = (struct part_stream *)stream;
	const guint8 *data = self->bytes.data + stream->position, *lf;
	size_t left = (size_t)(stream->bound_end - stream->position);

	if (self->stopped || left == 0)
		return 0;
	if (len >= left) {
		len = left;
	} else {
		lf = memrchr(data, '\n', len);
		len = lf ? (size_t)(lf - data) + 1 : cut_line(data, len);
		self->stopped = len == 0;
	}
	memcpy(buf, data, len);
	stream->position += (gint64)len;
	return (ssize_t)len;
}

static void
class_init(gpointer class, gpointer data)
{
	((GMimeStreamClass *)class)->read = read_lines;
}

static void
init_once(void)
{
	g_mime_init();
	stream_type = g_type_register_static_simple(GMIME_TYPE_STREAM_MEM, "PosternPartStream",
	    sizeof(struct part_stream_class), class_init, sizeof(struct part_stream), NULL, 0);
}

void
part_gmime_init(void)
{
	pthread_once(&once, init_once);
}

struct part_stream *
part_stream_new(struct pn_slice bytes)
{
	struct part_stream *stream = g_object_new(stream_type, NULL);

	stream->bytes = (GByteArray){ (guint8 *)(uintptr_t)bytes.data, (guint)bytes.len };
	stream->parent.buffer = &stream->bytes;
	stream->parent.owner = FALSE;
	g_mime_stream_construct((GMimeStream *)stream, 0, (gint64)bytes.len);
	return stream;
}

void
part_stream_stop(struct part_stream *stream)
{
	stream->stopped = true;
}

bool
part_stream_stopped(const struct part_stream *stream)
{
	return stream->stopped;
}
