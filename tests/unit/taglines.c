/* SPDX-License-Identifier: Apache-2.0 */
/* taglines.c - tests of modules/taglines: places in text and HTML, format=flowed, one from the
 * other. */
#include "../../modules/taglines/taglines.h"
#include "../../modules/taglines/tags.h"
#include "run.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static char *
put_in(const char *text, const struct insertion *insertion)
{
	return g_strdup_printf(
	    "%.*s%s%s", (int)insertion->offset, text, insertion->text, text + insertion->offset);
}

static const struct {
	const char *text;
	enum position position;
	const char *after;
} plain[] = {
	{ "", AT_BOTTOM, "TAG\n" },
	{ "a", AT_BOTTOM, "a\n\nTAG\n" },
	{ "a\r\n", AT_BOTTOM, "a\r\n\nTAG\n" },
	{ "a\r\n\r\n", AT_BOTTOM, "a\r\n\r\nTAG\n" },
	{ "a\n", AT_TOP, "TAG\n\na\n" },
	{ "", AT_TOP, "TAG\n" },
	/* nothing is quoted */
	{ "a\n", BEFORE_QUOTE, "a\n\nTAG\n" },
	{ "a > b\n", BEFORE_QUOTE, "a > b\n\nTAG\n" },
	/* what introduces the quote stays with it */
	{ "a\n\n> q\n", BEFORE_QUOTE, "a\n\nTAG\n\n> q\n" },
	{ "a\n\nBo wrote:\n> q\n", BEFORE_QUOTE, "a\n\nTAG\n\nBo wrote:\n> q\n" },
	{ "a\n\nOn Monday\nBo wrote: \n\n> q\n", BEFORE_QUOTE,
	    "a\n\nTAG\n\nOn Monday\nBo wrote: \n\n> q\n" },
	{ "Bo wrote:\n> q\na\n", BEFORE_QUOTE, "TAG\n\nBo wrote:\n> q\na\n" },
	{ "1\n2\n3\nsee:\n> q\n", BEFORE_QUOTE, "1\n2\n3\nsee:\n\nTAG\n\n> q\n" },
	{ "a\n\n-----Original Message-----\nb\n", BEFORE_QUOTE,
	    "a\n\nTAG\n\n-----Original Message-----\nb\n" },
	{ "a\n\n-----Urspr\xc3\xbcngliche Nachricht-----\nb\n> q\n", BEFORE_QUOTE,
	    "a\n\nTAG\n\n-----Urspr\xc3\xbcngliche Nachricht-----\nb\n> q\n" },
	{ "a\n________________________________\nFrom: b\n", BEFORE_QUOTE,
	    "a\n\nTAG\n\n________________________________\nFrom: b\n" },
	{ "-----------------\na\n", BEFORE_QUOTE, "-----------------\na\n\nTAG\n" },
};

START_TEST(places_in_text)
{
	struct insertion insertion;
	char *made;

	plain_place(pn_slice_of(plain[_i].text), "TAG", plain[_i].position, false, &insertion);
	made = put_in(plain[_i].text, &insertion);
	ck_assert_str_eq(made, plain[_i].after);
	g_free(insertion.text);
	g_free(made);
}
END_TEST

static const struct {
	const char *text, *tagline;
	enum position position;
	const char *after;
} flowed[] = {
	{ "a\n", "x \ny", AT_BOTTOM, "a\n\nx\ny\n" },                       /* ours do not flow */
	{ "a\n", " x\n>y\nFrom z", AT_BOTTOM, "a\n\n  x\n >y\n From z\n" }, /* stuffed */
	{ "a\n", "-- \nx", AT_BOTTOM, "a\n\n-- \nx\n" },                    /* a signature's line */
	{ "a \n", "x", AT_BOTTOM, "a \n\n\nx\n" }, /* its paragraph ends first */
	{ "a ", "x", AT_BOTTOM, "a \n\n\nx\n" },
	{ "a \nb\n", "x ", AT_TOP, "x\n\na \nb\n" },
};

START_TEST(format_flowed)
{
	struct insertion insertion;
	char *made;

	plain_place(pn_slice_of(flowed[_i].text), flowed[_i].tagline, flowed[_i].position, true,
	    &insertion);
	made = put_in(flowed[_i].text, &insertion);
	ck_assert_str_eq(made, flowed[_i].after);
	g_free(insertion.text);
	g_free(made);
}
END_TEST

static const struct {
	const char *html;
	enum position position;
	const char *after; /* with | for what is put in */
} pages[] = {
	{ "<p>a</p>", AT_BOTTOM, "<p>a</p>|" },
	{ "<p>a</p>", AT_TOP, "|<p>a</p>" },
	{ "<HTML><BODY class=x>a</BODY></HTML>", AT_BOTTOM,
	    "<HTML><BODY class=x>a|</BODY></HTML>" },
	{ "<HTML><BODY class=x>a</BODY></HTML>", AT_TOP, "<HTML><BODY class=x>|a</BODY></HTML>" },
	{ "<html>a</html>", AT_BOTTOM, "<html>a|</html>" },
	{ "<html><head></head>a", AT_TOP, "<html><head></head>|a" },
	{ "<!DOCTYPE html><p>a", AT_TOP, "<!DOCTYPE html>|<p>a" },
	/* tags that are none */
	{ "<body>a<!-- </body> -->b</body>", AT_BOTTOM, "<body>a<!-- </body> -->b|</body>" },
	{ "<!-- <body> --><body>a", AT_TOP, "<!-- <body> --><body>|a" },
	{ "<body><script>'</body>'</script>a</body>", AT_BOTTOM,
	    "<body><script>'</body>'</script>a|</body>" },
	{ "<body data-x=\"</body>\">a", AT_TOP, "<body data-x=\"</body>\">|a" },
	{ "<body>1 < 2</body>", AT_BOTTOM, "<body>1 < 2|</body>" },
	{ "<body>a<!-- b", AT_BOTTOM, "<body>a<!-- b|" },
	{ "<p a=\"b", AT_BOTTOM, "<p a=\"b|" },
	/* two pages put together: the last one ends it */
	{ "<body>a</body><body>b</body>", AT_BOTTOM, "<body>a</body><body>b|</body>" },
	/* what is quoted */
	{ "<body>a<blockquote>q</blockquote></body>", BEFORE_QUOTE,
	    "<body>a|<blockquote>q</blockquote></body>" },
	{ "<div>a</div><div class=\"gmail_quote gmail_quote_container\">Bo:<blockquote>q",
	    BEFORE_QUOTE,
	    "<div>a</div>|<div class=\"gmail_quote gmail_quote_container\">Bo:<blockquote>q" },
	{ "a<div class='moz-cite-prefix'>Bo:</div><blockquote>q", BEFORE_QUOTE,
	    "a|<div class='moz-cite-prefix'>Bo:</div><blockquote>q" },
	{ "a<div id=divRplyFwdMsg>From: b</div>", BEFORE_QUOTE,
	    "a|<div id=divRplyFwdMsg>From: b</div>" },
	{ "<body>a</body>", BEFORE_QUOTE, "<body>a|</body>" },
};

START_TEST(places_in_html)
{
	struct insertion insertion;
	char *made;

	html_place(pn_slice_of(pages[_i].html), "T", pages[_i].position, &insertion);
	ck_assert_str_eq(insertion.text, "\nT\n");
	g_free(insertion.text);
	insertion.text = g_strdup("|");
	made = put_in(pages[_i].html, &insertion);
	ck_assert_str_eq(made, pages[_i].after);
	g_free(insertion.text);
	g_free(made);
}
END_TEST

static const struct {
	const char *html, *text;
} shown[] = {
	{ "<p>a  b\r\nc</p><p>d</p>", "a b c\nd" },
	{ "a<br>b<br/>c", "a\nb\nc" },
	{ "&lt;{{name}}&gt; &amp; &#8364;&#x41;&nope;", "<{{name}}> & \xe2\x82\xac"
							"A&nope;" },
	{ "<style>p {}</style><b>a</b><i>b</i>", "ab" },
	{ "<a href=\"https://x.example/\">here</a>.", "here <https://x.example/>." },
	{ "<a href='mailto:a@x.example'>a@x.example</a>", "a@x.example" },
	{ "<ul><li>a</li><li>b</li></ul>", "a\nb" },
};

START_TEST(text_of_html)
{
	char *text = html_to_text(pn_slice_of(shown[_i].html));

	ck_assert_str_eq(text, shown[_i].text);
	g_free(text);
}
END_TEST

START_TEST(html_of_text)
{
	char *html = html_from_text("a < \"b\" & 'c'\nd\n");

	ck_assert_str_eq(html, "a &lt; &quot;b&quot; &amp; 'c'<br>\nd");
	g_free(html);
}
END_TEST

START_TEST(words_that_are_there)
{
	struct piece pieces[] = { { LITERAL, "Of " }, { NAME, NULL },
		{ LITERAL, ", registered\nin X" } };
	struct template template = { 3, pieces };
	struct piece shorter[] = { { NAME, NULL }, { LITERAL, "!" } };
	struct template name = { 2, shorter };

	ck_assert(seen_in_text(pn_slice_of("Of Bo, registered in X"), &template, "-"));
	ck_assert(seen_in_text(pn_slice_of("> > Of\n> > Ada, regis\n"), &name, "Ada, regis"));
	ck_assert(seen_in_text(pn_slice_of("| Of\xc2\xa0"
					   "Bo,\n>registered \t in\r\n> X"),
	    &template, "-"));
	ck_assert(!seen_in_text(pn_slice_of("registered in X, Of Bo"), &template, "-"));
	ck_assert(!seen_in_text(pn_slice_of("Of Bo"), &template, "-"));
	/* too few fixed words: those that are filled in count */
	ck_assert(!seen_in_text(pn_slice_of("Hello!"), &name, "Ada!"));
	ck_assert(seen_in_text(pn_slice_of("I am Ada!"), &name, "Ada!"));
}
END_TEST

START_TEST(marks_that_are_there)
{
	ck_assert(seen_in_html(pn_slice_of("<div class=\"a x_postern-l b\">"), "postern-l"));
	ck_assert(seen_in_html(pn_slice_of("<div class=postern-l>"), "postern-l"));
	ck_assert(!seen_in_html(pn_slice_of("<div class=\"postern-legal\">"), "postern-l"));
	ck_assert(!seen_in_html(pn_slice_of("<p>postern-l"), "postern-l"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("taglines");
	TCase *tcase = tcase_create("taglines");

	tcase_add_loop_test(tcase, places_in_text, 0, COUNT(plain));
	tcase_add_loop_test(tcase, format_flowed, 0, COUNT(flowed));
	tcase_add_loop_test(tcase, places_in_html, 0, COUNT(pages));
	tcase_add_loop_test(tcase, text_of_html, 0, COUNT(shown));
	tcase_add_test(tcase, html_of_text);
	tcase_add_test(tcase, words_that_are_there);
	tcase_add_test(tcase, marks_that_are_there);
	suite_add_tcase(suite, tcase);
	return unit_run(suite);
}
