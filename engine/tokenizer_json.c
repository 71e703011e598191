/*
 * Tokenizers from Hugging Face's tokenizer.json.
 *
 *   byte-level BPE   pre_tokenizer: Split, Digits, ByteLevel or a Sequence of them
 *   BPE with byte_fallback and a normalizer " " -> U+2581 (gemma)
 *
 * Added tokens are never looked for in text, whether or not the file calls them special: many that
 * it does not are markers all the same ("<｜User｜>").  A Unicode normalizer (NFC) is left out,
 * since text must come back byte for byte.
 *
 * BOS and EOS are not in tokenizer.json: they are looked for in its post-processor and in
 * tokenizer_config.json, generation_config.json and config.json beside it.
 */
#include <json-glib/json-glib.h>
#include <string.h>

#include "engine/error.h"
#include "engine/json_bounded.h"
#include "engine/tokenizer_private.h"

#define FILE_BYTES_MAX (256u << 20)

typedef struct {
    const char *path;
    PdTokenizer *tok;
    JsonObject *root;
    JsonObject *model;
    gboolean byte_level; /* a ByteLevel stage was seen */
} Loader;

static gboolean G_GNUC_PRINTF(4, 5)
    refuse(const char *path, int code, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, PD_ENGINE_ERROR, code, "%s: %s", path, what);
    return FALSE;
}

/* Members by kind; NULL or the fallback where absent or of another kind. */
static JsonObject *
get_object(JsonObject *o, const char *name)
{
    JsonNode *node = o == NULL ? NULL : json_object_get_member(o, name);
    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonArray *
get_array(JsonObject *o, const char *name)
{
    JsonNode *node = o == NULL ? NULL : json_object_get_member(o, name);
    return node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static const char *
node_string(JsonNode *node)
{
    return node != NULL && JSON_NODE_HOLDS_VALUE(node) &&
                   json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : NULL;
}

static const char *
get_string(JsonObject *o, const char *name)
{
    return o == NULL ? NULL : node_string(json_object_get_member(o, name));
}

static gboolean
get_bool(JsonObject *o, const char *name, gboolean fallback)
{
    JsonNode *node = o == NULL ? NULL : json_object_get_member(o, name);
    return node != NULL && JSON_NODE_HOLDS_VALUE(node) &&
                   json_node_get_value_type(node) == G_TYPE_BOOLEAN
               ? json_node_get_boolean(node)
               : fallback;
}

static gboolean
node_id(JsonNode *node, guint32 *id)
{
    if (node == NULL || !JSON_NODE_HOLDS_VALUE(node) ||
        json_node_get_value_type(node) != G_TYPE_INT64)
        return FALSE;
    gint64 value = json_node_get_int(node);
    if (value < 0 || value >= PD_VOCAB_TOKENS_MAX)
        return FALSE;
    *id = value;
    return TRUE;
}

static JsonObject *
element_object(JsonArray *array, guint index)
{
    JsonNode *node = json_array_get_element(array, index);
    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* What the vocabulary says about one id, before the tokens are added in order. */
typedef struct {
    const char *text; /* NULL: a hole */
    PdTokenType type;
} Slot;

static gboolean
set_slot(GArray *slots, guint32 id, const char *text, PdTokenType type)
{
    if (id >= slots->len)
        g_array_set_size(slots, id + 1);
    Slot *slot = &g_array_index(slots, Slot, id);
    if (slot->text != NULL && !g_str_equal(slot->text, text))
        return FALSE;
    /* A token that is added and not special stays what the vocabulary made it. */
    if (slot->text == NULL || type == PD_TOKEN_CONTROL)
        slot->type = type;
    slot->text = text;
    return TRUE;
}

static gboolean
read_slots(Loader *l, GArray *slots, GError **error)
{
    JsonObject *vocab = get_object(l->model, "vocab");
    JsonArray *added = get_array(l->root, "added_tokens");
    JsonObjectIter iter;
    const char *text;
    JsonNode *node;
    guint32 id;
    if (vocab == NULL)
        return refuse(l->path, PD_ENGINE_ERROR_FORMAT, error, "model has no vocab object");
    json_object_iter_init(&iter, vocab);
    while (json_object_iter_next(&iter, &text, &node))
        if (!node_id(node, &id) || !set_slot(slots, id, text, PD_TOKEN_NORMAL))
            return refuse(l->path, PD_ENGINE_ERROR_FORMAT, error,
                          "vocab has an id that is no number, too large or used twice");
    for (guint i = 0; added != NULL && i < json_array_get_length(added); i++) {
        JsonObject *o = element_object(added, i);
        text = get_string(o, "content");
        PdTokenType type = get_bool(o, "special", FALSE) ? PD_TOKEN_CONTROL : PD_TOKEN_USER;
        if (text == NULL || !node_id(json_object_get_member(o, "id"), &id) ||
            !set_slot(slots, id, text, type))
            return refuse(l->path, PD_ENGINE_ERROR_FORMAT, error,
                          "added token %u lacks its text or id, or its id is another token's", i);
    }
    return TRUE;
}

/* "<0x0A>" -> 10, or -1. */
static int
byte_token(const char *text)
{
    if (strlen(text) != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>' ||
        !g_ascii_isxdigit(text[3]) || !g_ascii_isxdigit(text[4]))
        return -1;
    return g_ascii_xdigit_value(text[3]) * 16 + g_ascii_xdigit_value(text[4]);
}

/* The text of a token or of one side of a merge as bytes. */
static gboolean
text_bytes(const Loader *l, const char *text, gsize n, GByteArray *out)
{
    g_byte_array_set_size(out, 0);
    if (l->byte_level)
        return pd_text_from_byte_level(text, n, out);
    pd_text_from_marked_spaces(text, n, out);
    return TRUE;
}

static gboolean
add_tokens(Loader *l, GError **error)
{
    g_autoptr(GArray) slots = g_array_new(FALSE, TRUE, sizeof(Slot));
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    if (!read_slots(l, slots, error))
        return FALSE;
    for (guint id = 0; id < slots->len; id++) {
        const Slot *slot = &g_array_index(slots, Slot, id);
        const char *text = slot->text == NULL ? "" : slot->text;
        PdTokenType type = slot->text == NULL ? PD_TOKEN_UNUSED : slot->type;
        int byte = l->byte_level || type != PD_TOKEN_NORMAL ? -1 : byte_token(text);
        if (type == PD_TOKEN_NORMAL && !text_bytes(l, text, strlen(text), bytes))
            type = PD_TOKEN_USER;
        if (type != PD_TOKEN_NORMAL) {
            g_byte_array_set_size(bytes, 0);
            g_byte_array_append(bytes, (const guint8 *)text, strlen(text));
        }
        if (byte >= 0) {
            guint8 b = byte;
            type = PD_TOKEN_BYTE;
            g_byte_array_set_size(bytes, 0);
            g_byte_array_append(bytes, &b, 1);
        }
        if (!pd_tokenizer_add_token(l->tok, (const char *)bytes->data, bytes->len, type))
            return refuse(l->path, PD_ENGINE_ERROR_FORMAT, error, "the vocabulary is too large");
    }
    pd_vocab_index(&l->tok->vocab);
    return TRUE;
}

/* Both spellings: "left right" and ["left", "right"]. */
static gboolean
split_merge(JsonNode *node, const char **left, gsize *n_left, const char **right)
{
    const char *text = node_string(node);
    if (text != NULL) {
        const char *space = strchr(text, ' ');
        if (space == NULL)
            return FALSE;
        *left = text;
        *n_left = space - text;
        *right = space + 1;
        return TRUE;
    }
    if (!JSON_NODE_HOLDS_ARRAY(node) || json_array_get_length(json_node_get_array(node)) != 2)
        return FALSE;
    *left = node_string(json_array_get_element(json_node_get_array(node), 0));
    *right = node_string(json_array_get_element(json_node_get_array(node), 1));
    if (*left == NULL || *right == NULL)
        return FALSE;
    *n_left = strlen(*left);
    return TRUE;
}

static gboolean
add_merges(Loader *l, GError **error)
{
    JsonArray *merges = get_array(l->model, "merges");
    g_autoptr(GByteArray) a = g_byte_array_new();
    g_autoptr(GByteArray) b = g_byte_array_new();
    if (merges == NULL)
        return refuse(l->path, PD_ENGINE_ERROR_FORMAT, error, "model has no merges array");
    guint n = json_array_get_length(merges);
    if (!pd_pairs_init(&l->tok->pairs, n))
        return refuse(l->path, PD_ENGINE_ERROR_NO_MEMORY, error, "no memory for the merges");
    for (guint i = 0; i < n; i++) {
        const char *left, *right;
        gsize n_left;
        if (!split_merge(json_array_get_element(merges, i), &left, &n_left, &right) ||
            !text_bytes(l, left, n_left, a) || !text_bytes(l, right, strlen(right), b) ||
            !pd_tokenizer_add_merge(l->tok, (const char *)a->data, a->len, (const char *)b->data,
                                    b->len, i))
            return refuse(l->path, PD_ENGINE_ERROR_FORMAT, error,
                          "merge %u is not made of two tokens that make a third", i);
    }
    return TRUE;
}

static gboolean
add_stage(Loader *l, const char *pattern, PdSplitBehaviour behaviour, GError **error)
{
    if (pd_pretokenizer_add(l->tok->pre, pattern, behaviour, error))
        return TRUE;
    g_prefix_error(error, "%s: ", l->path);
    return FALSE;
}

static gboolean
add_split(Loader *l, JsonObject *o, GError **error)
{
    static const struct {
        const char *name;
        PdSplitBehaviour behaviour;
    } behaviours[] = {{"Isolated", PD_SPLIT_ISOLATED},
                      {"MergedWithPrevious", PD_SPLIT_MERGED_WITH_PREVIOUS},
                      {"MergedWithNext", PD_SPLIT_MERGED_WITH_NEXT}};
    JsonObject *pattern = get_object(o, "pattern");
    const char *regex = get_string(pattern, "Regex");
    const char *literal = get_string(pattern, "String");
    const char *name = get_string(o, "behavior");
    gboolean invert = get_bool(o, "invert", FALSE);
    g_autofree char *quoted = literal == NULL ? NULL : g_regex_escape_string(literal, -1);
    if (regex == NULL)
        regex = quoted;
    /* "Removed" of everything that does not match keeps the matches; as isolated pieces the rest
     * is kept too, which for the patterns in use is nothing. */
    if (invert && g_strcmp0(name, "Removed") == 0)
        name = "Isolated";
    else if (invert && g_strcmp0(name, "Isolated") != 0)
        name = NULL;
    for (gsize i = 0; regex != NULL && i < G_N_ELEMENTS(behaviours); i++)
        if (g_strcmp0(name, behaviours[i].name) == 0)
            return add_stage(l, regex, behaviours[i].behaviour, error);
    return refuse(l->path, PD_ENGINE_ERROR_UNSUPPORTED, error,
                  "pre_tokenizer has a Split of a kind that is not known here");
}

static gboolean
add_pre_tokenizer(Loader *l, JsonObject *o, GError **error)
{
    const char *type = get_string(o, "type");
    if (g_strcmp0(type, "Sequence") == 0) {
        JsonArray *parts = get_array(o, "pretokenizers");
        for (guint i = 0; parts != NULL && i < json_array_get_length(parts); i++)
            if (!add_pre_tokenizer(l, element_object(parts, i), error))
                return FALSE;
        return TRUE;
    }
    if (g_strcmp0(type, "Split") == 0)
        return add_split(l, o, error);
    if (g_strcmp0(type, "Digits") == 0)
        return add_stage(l, get_bool(o, "individual_digits", FALSE) ? "\\p{N}" : "\\p{N}+",
                         PD_SPLIT_ISOLATED, error);
    if (g_strcmp0(type, "ByteLevel") == 0 && !get_bool(o, "add_prefix_space", TRUE)) {
        l->byte_level = TRUE;
        return !get_bool(o, "use_regex", TRUE) ||
               add_stage(l, pd_pattern_gpt2, PD_SPLIT_ISOLATED, error);
    }
    g_autofree char *shown = g_strescape(type == NULL ? "none" : type, NULL);
    return refuse(l->path, PD_ENGINE_ERROR_UNSUPPORTED, error,
                  "pre_tokenizer '%.100s' (or its add_prefix_space) is not known here", shown);
}

/* Whether the normalizer is the one given: "NFC" or " " -> U+2581. */
static gboolean
normalizer_is(JsonObject *o, const char *wanted)
{
    const char *type = get_string(o, "type");
    if (g_strcmp0(type, "Sequence") == 0) {
        JsonArray *parts = get_array(o, "normalizers");
        for (guint i = 0; parts != NULL && i < json_array_get_length(parts); i++)
            if (!normalizer_is(element_object(parts, i), wanted))
                return FALSE;
        return parts != NULL;
    }
    if (g_strcmp0(type, wanted) != 0)
        return FALSE;
    return g_str_equal(wanted, "NFC") ||
           (g_strcmp0(get_string(get_object(o, "pattern"), "String"), " ") == 0 &&
            g_strcmp0(get_string(o, "content"), "\xe2\x96\x81") == 0);
}

static gboolean
check_kind(Loader *l, GError **error)
{
    JsonObject *normalizer = get_object(l->root, "normalizer");
    const char *type = get_string(l->model, "type");
    const char *prefix = get_string(l->model, "continuing_subword_prefix");
    const char *suffix = get_string(l->model, "end_of_word_suffix");
    if (l->model == NULL)
        return refuse(l->path, PD_ENGINE_ERROR_FORMAT, error, "has no model object");
    if ((type != NULL && !g_str_equal(type, "BPE")) || (prefix != NULL && *prefix != '\0') ||
        (suffix != NULL && *suffix != '\0'))
        return refuse(l->path, PD_ENGINE_ERROR_UNSUPPORTED, error,
                      "the model is not plain BPE, the only kind known here");
    if (l->byte_level && (normalizer == NULL || normalizer_is(normalizer, "NFC")))
        return TRUE;
    /* gemma's file splits at " " as well, of which its normalizer leaves none. */
    JsonObject *pre = get_object(l->root, "pre_tokenizer");
    gboolean no_pieces =
        pre == NULL || g_strcmp0(get_string(get_object(pre, "pattern"), "String"), " ") == 0;
    if (!l->byte_level && no_pieces && get_bool(l->model, "byte_fallback", FALSE) &&
        normalizer_is(normalizer, "Replace")) {
        l->tok->kind = PD_TOKENIZER_CHARS;
        return TRUE;
    }
    return refuse(l->path, PD_ENGINE_ERROR_UNSUPPORTED, error,
                  "neither byte-level BPE nor BPE with byte_fallback over U+2581 without further "
                  "normalizing");
}

/* A token given as text, {"content": text} or id. */
static gint64
token_of_node(const PdTokenizer *tok, JsonNode *node)
{
    guint32 id;
    if (node != NULL && JSON_NODE_HOLDS_OBJECT(node))
        node = json_object_get_member(json_node_get_object(node), "content");
    if (node_id(node, &id))
        return id < pd_vocab_size(&tok->vocab) ? (gint64)id : -1;
    const char *text = node_string(node);
    return text == NULL ? -1 : pd_tokenizer_special_id(tok, text);
}

/* TemplateProcessing whose first piece is a special token: that is BOS, and it is wanted. */
static void
read_post_processor(PdTokenizer *tok, JsonObject *o)
{
    JsonArray *parts = get_array(o, "processors");
    for (guint i = 0; parts != NULL && i < json_array_get_length(parts); i++)
        read_post_processor(tok, element_object(parts, i));
    JsonArray *single = get_array(o, "single");
    if (single == NULL || json_array_get_length(single) == 0)
        return;
    JsonObject *special = get_object(element_object(single, 0), "SpecialToken");
    gint64 id = special == NULL ? -1 : token_of_node(tok, json_object_get_member(special, "id"));
    if (id >= 0) {
        tok->bos = id;
        tok->adds_bos = TRUE;
    }
}

static void
read_config(PdTokenizer *tok, JsonObject *o, gboolean is_tokenizer_config)
{
    JsonNode *bos = json_object_get_member(o, is_tokenizer_config ? "bos_token" : "bos_token_id");
    JsonNode *eos = json_object_get_member(o, is_tokenizer_config ? "eos_token" : "eos_token_id");
    if (tok->bos < 0)
        tok->bos = token_of_node(tok, bos);
    if (is_tokenizer_config)
        tok->adds_bos = get_bool(o, "add_bos_token", tok->adds_bos);
    if (eos != NULL && JSON_NODE_HOLDS_ARRAY(eos)) {
        JsonArray *list = json_node_get_array(eos);
        for (guint i = 0; i < json_array_get_length(list); i++) {
            gint64 id = token_of_node(tok, json_array_get_element(list, i));
            if (id >= 0)
                pd_tokenizer_add_end(tok, id);
            if (id >= 0 && tok->eos < 0)
                tok->eos = id;
        }
        return;
    }
    gint64 id = token_of_node(tok, eos);
    if (id >= 0)
        pd_tokenizer_add_end(tok, id);
    if (tok->eos < 0)
        tok->eos = id;
}

static gboolean
read_neighbours(Loader *l, GError **error)
{
    static const char *const names[] = {"tokenizer_config.json", "generation_config.json",
                                        "config.json"};
    g_autofree char *folder = g_path_get_dirname(l->path);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);
        g_autofree char *text = NULL;
        gsize n;
        if (!g_file_get_contents(path, &text, &n, NULL))
            continue;
        g_autoptr(JsonParser) parser = pd_json_parse_object(text, n, path, error);
        if (parser == NULL)
            return FALSE;
        read_config(l->tok, pd_json_object(parser), i == 0);
    }
    return TRUE;
}

PdTokenizer *
pd_tokenizer_new_from_json_data(const char *text, gsize n, const char *path, gboolean neighbours,
                                GError **error)
{
    if (n > FILE_BYTES_MAX) {
        refuse(path, PD_ENGINE_ERROR_FORMAT, error, "is too large to be a tokenizer.json");
        return NULL;
    }
    g_autoptr(JsonParser) parser = pd_json_parse_object(text, n, path, error);
    if (parser == NULL)
        return NULL;
    g_autoptr(PdTokenizer) tok = pd_tokenizer_alloc(PD_TOKENIZER_BYTES);
    Loader l = {.path = path, .tok = tok};
    l.root = pd_json_object(parser);
    l.model = get_object(l.root, "model");
    JsonObject *pre = get_object(l.root, "pre_tokenizer");
    tok->variant = g_strdup("tokenizer.json");
    tok->pre = pd_pretokenizer_new();
    tok->ignore_merges = get_bool(l.model, "ignore_merges", FALSE);
    if ((pre != NULL && !add_pre_tokenizer(&l, pre, error)) || !check_kind(&l, error) ||
        !add_tokens(&l, error) || !add_merges(&l, error))
        return NULL;
    read_post_processor(tok, get_object(l.root, "post_processor"));
    if ((neighbours && !read_neighbours(&l, error)) ||
        !pd_tokenizer_finish(tok, FALSE, path, error))
        return NULL;
    return g_steal_pointer(&tok);
}

PdTokenizer *
pd_tokenizer_new_from_json(const char *path, GError **error)
{
    gsize n;
    g_autofree char *text = pd_json_read_file(path, &n, error);
    return text != NULL ? pd_tokenizer_new_from_json_data(text, n, path, TRUE, error) : NULL;
}
