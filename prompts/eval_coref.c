/*
 * The nth of several alike, in the corpus's own mail: messages of one sender under one subject, or,
 * where there are no such groups, of one sender to one recipient, in order of date.  Asked for are
 * the first words that its sender wrote (quoted lines and short ones are passed over); a group
 * counts only if these differ between its messages.  (The question's form is that of multi-round
 * coreference, Vodrahalli and others, Michelangelo, 2024; the material and the rule are ours.)
 */
#include <string.h>
#include "prompts/eval_plan.h"
#include "prompts/mix.h"

#define GROUP_MIN 3
#define GROUP_MAX 12
#define FIRST_WORDS 6

typedef struct {
    const PdDocumentRow *document;
    PdEvalPlace place; /* the line that is asked for */
    char *words;
} Mail;

typedef struct {
    char *sender;
    char *about; /* "about \"S\"" or "to Y" */
    GArray *mails;
    guint64 order; /* drawn */
} Group;

static void
clear_mail(gpointer data)
{
    g_free(((Mail *)data)->words);
}

static void
group_free(gpointer data)
{
    Group *group = data;

    g_free(group->sender);
    g_free(group->about);
    g_array_unref(group->mails);
    g_free(group);
}

static gint
compare_dates(gconstpointer a, gconstpointer b)
{
    const PdDocumentRow *x = ((const Mail *)a)->document, *y = ((const Mail *)b)->document;

    if (x->date_utc != y->date_utc)
        return x->date_utc < y->date_utc ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static gint
compare_groups(gconstpointer a, gconstpointer b)
{
    const Group *x = *(Group *const *)a, *y = *(Group *const *)b;

    return x->order < y->order ? -1 : x->order > y->order ? 1 : strcmp(x->about, y->about);
}

/* "Re: [list] Fwd: S" -> "S" */
static char *
plain_subject(const char *title)
{
    g_autoptr(GRegex) prefix =
        g_regex_new("^(\\s*(re|aw|fwd?|wg)\\s*(\\[\\d+\\])?:|\\s*\\[[^\\]]{1,40}\\])+\\s*",
                    G_REGEX_CASELESS, 0, NULL);
    g_autofree char *plain = g_regex_replace_literal(prefix, title, -1, 0, "", 0, NULL);

    return plain ? g_strdup(g_strstrip(plain)) : g_strdup(title);
}

/* The name of "Name <address>", else the address. */
static char *
person(const char *address)
{
    const char *bracket = strchr(address, '<');
    g_autofree char *name = bracket ? g_strndup(address, (gsize)(bracket - address)) : NULL;

    if (name && *g_strstrip(name))
        return g_steal_pointer(&name);
    return g_strstrip(g_strdup(address));
}

/* The first line with enough words that is neither quoted nor an "On ... wrote:". */
static gboolean
first_words(const PdPartRow *part, Mail *mail)
{
    gsize at = 0;

    while (at < part->n_bytes) {
        const char *lf = memchr(part->text + at, '\n', part->n_bytes - at);
        gsize end = lf ? (gsize)(lf - part->text) : part->n_bytes;
        g_autofree char *line = g_strstrip(g_strndup(part->text + at, end - at));
        g_auto(GStrv) words = g_strsplit_set(line, " \t", -1);
        guint n = 0;

        for (guint i = 0; words[i]; i++)
            if (*words[i])
                words[n++] = words[i];
            else
                g_free(words[i]);
        words[n] = NULL;
        if (n >= FIRST_WORDS && !strchr(">|", line[0]) && !g_str_has_suffix(line, ":") &&
            !g_str_has_prefix(line, "On ") && g_utf8_validate(line, -1, NULL)) {
            while (n > FIRST_WORDS)
                g_clear_pointer(&words[--n], g_free);
            mail->words = g_strjoinv(" ", words);
            mail->place = (PdEvalPlace){part->id, (guint32)at, (guint32)end};
            return TRUE;
        }
        at = end + 1;
    }
    return FALSE;
}

static gboolean
read_mail(PdEvalPlan *plan, const PdDocumentRow *document, Mail *mail, gboolean *usable,
          GError **error)
{
    g_autoptr(GPtrArray) parts = pd_corpus_parts(plan->corpus, document->id, error);

    *usable = FALSE;
    if (!parts)
        return FALSE;
    mail->document = document;
    for (guint i = 0; i < parts->len && !*usable; i++) {
        const PdPartRow *part = g_ptr_array_index(parts, i);
        if (!g_str_equal(part->path, "headers"))
            *usable = first_words(part, mail);
    }
    return TRUE;
}

/* Documents of each group by its name "sender\nabout". */
static GHashTable *
group_documents(PdEvalPlan *plan, gboolean by_subject)
{
    GHashTable *groups =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);

    for (guint i = 0; i < plan->documents->len; i++) {
        PdDocumentRow *row = g_ptr_array_index(plan->documents, i);
        g_autofree char *sender = NULL, *about = NULL, *key = NULL;
        GPtrArray *list;

        if (row->kind != PD_KIND_MAIL || !row->author || row->date_utc == G_MININT64)
            continue;
        sender = person(row->author);
        if (by_subject) {
            g_autofree char *subject = plain_subject(row->title ? row->title : "");
            about = *subject ? g_strdup_printf("about \"%s\"", subject) : NULL;
        } else if (row->recipients) {
            g_auto(GStrv) all = g_strsplit(row->recipients, ", ", 2);
            g_autofree char *first = all[0] ? person(all[0]) : NULL;
            about = first && *first ? g_strdup_printf("to %s", first) : NULL;
        }
        if (!about || !*sender)
            continue;
        key = g_strdup_printf("%s\n%s", sender, about);
        list = g_hash_table_lookup(groups, key);
        if (!list) {
            list = g_ptr_array_new();
            g_hash_table_insert(groups, g_steal_pointer(&key), list);
        }
        g_ptr_array_add(list, row);
    }
    return groups;
}

/* The group's messages in order, each with its first words; *distinct: they all have such words
 * and no two the same. */
static gboolean
read_group(PdEvalPlan *plan, GPtrArray *documents, Group *group, gboolean *distinct, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    *distinct = TRUE;
    for (guint i = 0; i < documents->len && *distinct; i++) {
        Mail mail = {0};
        gboolean usable;

        if (!read_mail(plan, g_ptr_array_index(documents, i), &mail, &usable, error))
            return FALSE;
        *distinct = usable && g_hash_table_add(seen, mail.words);
        if (usable)
            g_array_append_val(group->mails, mail);
    }
    g_array_sort(group->mails, compare_dates);
    return TRUE;
}

static gboolean
find_groups(PdEvalPlan *plan, gboolean by_subject, GPtrArray *groups, GError **error)
{
    g_autoptr(GHashTable) table = group_documents(plan, by_subject);
    GHashTableIter iter;
    gpointer key, documents;

    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &key, &documents)) {
        guint n = ((GPtrArray *)documents)->len;
        char *line = strchr(key, '\n');
        gboolean distinct;
        Group *group;

        if (n < GROUP_MIN || n > GROUP_MAX)
            continue;
        group = g_new0(Group, 1);
        group->sender = g_strndup(key, (gsize)(line - (char *)key));
        group->about = g_strdup(line + 1);
        group->mails = g_array_new(FALSE, FALSE, sizeof(Mail));
        g_array_set_clear_func(group->mails, clear_mail);
        group->order = pd_mix(plan->options->seed ^ g_str_hash(key));
        if (!read_group(plan, documents, group, &distinct, error)) {
            group_free(group);
            return FALSE;
        }
        if (distinct)
            g_ptr_array_add(groups, group);
        else
            group_free(group);
    }
    g_ptr_array_sort(groups, compare_groups);
    return TRUE;
}

static const char *
ordinal_ending(guint n)
{
    if (n % 100 / 10 == 1)
        return "th";
    return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

static void
take(PdEvalPlan *plan, const Group *group, guint nth, guint index)
{
    const Mail *mail = &g_array_index(group->mails, Mail, nth);
    PdFact *fact = g_new0(PdFact, 1);
    PdEvalItem *item;

    fact->kind = PD_FACT_LITERAL;
    fact->question = g_strdup_printf("With which words does the %u%s mail from %s %s begin, in "
                                     "order of date? Quote its first line.",
                                     nth + 1, ordinal_ending(nth + 1), group->sender, group->about);
    fact->sentences = g_ptr_array_new_with_free_func(g_free);
    fact->accept = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(fact->accept, g_strdup(mail->words));
    item = pd_eval_item_new(PD_EVAL_COREF, "coref", index, fact);
    g_array_append_val(item->places, mail->place);
    g_ptr_array_add(plan->items, item);
    for (guint i = 0; i < group->mails->len; i++)
        g_hash_table_add(plan->taken, g_memdup2(&g_array_index(group->mails, Mail, i).place.part_id,
                                                sizeof(gint64)));
}

gboolean
pd_eval_plan_coref(PdEvalPlan *plan, GError **error)
{
    g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func(group_free);
    guint n = 0;

    if (!(plan->options->tasks & 1u << PD_EVAL_COREF))
        return TRUE;
    if (!find_groups(plan, TRUE, groups, error) ||
        (groups->len == 0 && !find_groups(plan, FALSE, groups, error)))
        return FALSE;
    /* The first of each group drawn, then another of each, as long as there are any. */
    for (guint round = 0; round < GROUP_MAX && n < plan->options->items; round++)
        for (guint g = 0; g < groups->len && n < plan->options->items; g++) {
            const Group *group = g_ptr_array_index(groups, g);
            if (round < group->mails->len)
                take(plan, group, (guint)((group->order + round) % group->mails->len), n++);
        }
    if (n < plan->options->items)
        g_ptr_array_add(plan->notes,
                        g_strdup_printf("coref: %u of %u questions: this corpus has no more groups "
                                        "of %d or more mails of one sender under one subject",
                                        n, plan->options->items, GROUP_MIN));
    return TRUE;
}
