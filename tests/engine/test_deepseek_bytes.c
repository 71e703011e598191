/*
 * What the state of the released models takes in the store's files: layers of their full width,
 * rows of random bytes.  Section 10 of the design: 3,508.8 bytes a token for Flash, 5,023.7 for
 * Pro, which is 7.3 % and 10.45 % of the 48,068 of V3.2; and a snapshot at a whole unit 3.64 and
 * 5.17 MB.
 */
#include <string.h>
#include <unistd.h>
#include "engine/json_bounded.h"
#include "engine/kv_store_private.h"
#include "engine/remove_tree.h"
#include "engine/resume.h"
#include "engine/session_internal.h"

enum { UNIT = 128, FEW = 8, MANY = 24 }; /* units */

static int
no_sync(int fd)
{
    return 0;
}

static const PdKvIo io = {pwrite, no_sync};

/* A model that has its shape and no weights: it can keep a state, not run. */
static PdModel *
open_shape(const char *preset)
{
    g_autofree char *name = g_strconcat(preset, ".json", NULL);
    g_autofree char *path = g_build_filename(PD_SOURCE_ROOT, "engine", "published", name, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonParser) parser = pd_json_read_object(path, &error);
    PdModel *model = g_new0(PdModel, 1);
    g_assert_no_error(error);
    g_ref_count_init(&model->ref_count);
    g_mutex_init(&model->id_lock);
    model->buffers = g_ptr_array_new();
    model->path = g_strdup(path);
    model->name = g_strdup(preset);
    model->id = g_strdup(preset);
    model->device = pd_cpu_device_new(1, NULL);
    model->deepseek = g_new0(PdDsModel, 1);
    model->deepseek->names = g_string_chunk_new(64);
    model->deepseek->owned = g_ptr_array_new();
    model->deepseek->is_finite = TRUE;
    pd_ds_config_take(pd_json_object(parser), path, &model->deepseek->shape, &error);
    g_assert_no_error(error);
    model->shape.n_layers = model->deepseek->shape.n_layers;
    model->shape.n_heads = model->deepseek->shape.n_heads;
    model->shape.n_kv_heads = 1; /* what a session counts heads by */
    model->shape.n_vocab = model->deepseek->shape.n_vocab;
    model->shape.n_ctx_train = model->deepseek->shape.max_positions;
    return model;
}

static void
fill(guint8 *bytes, gsize n, GRand *rand)
{
    for (gsize i = 0; i < n; i += sizeof(guint32)) {
        guint32 word = g_rand_int(rand);
        memcpy(bytes + i, &word, MIN(sizeof word, n - i));
    }
}

/* Puts units [first, last) into the state, which is then at the last one's end. */
static void
put_units(PdSession *session, int first, int last, GRand *rand)
{
    PdDsRun *run = session->deepseek;
    gsize n_unit = pd_ds_run_unit_bytes(run);
    gsize n_snapshot = pd_ds_run_snapshot_bytes(run, last * UNIT, FALSE);
    g_autofree guint8 *unit = g_malloc(n_unit), *snapshot = g_malloc(n_snapshot);
    for (int i = first; i < last; i++) {
        fill(unit, n_unit, rand);
        pd_ds_run_load_unit(run, 0, i, unit);
    }
    fill(snapshot, n_snapshot, rand);
    pd_ds_run_load_snapshot(run, 0, last * UNIT, FALSE, snapshot);
    for (int i = first * UNIT; i < last * UNIT; i++)
        session->tokens[i] = g_rand_int_range(rand, 0, 1000);
    session->n_tokens[0] = last * UNIT;
}

static double
save(PdSession *session, PdKvStore *store)
{
    g_autoptr(GError) error = NULL;
    PdKvStats stats;
    pd_resume_save(session, 0, store, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    pd_kv_store_stats(store, &stats, &error);
    g_assert_no_error(error);
    return (double)stats.n_pack_bytes;
}

static void
assert_within(const char *what, double got, double want, double part)
{
    g_test_message("%s: %.1f, wanted %.1f", what, got, want);
    g_assert_cmpfloat_with_epsilon(got / want, 1, part);
}

typedef struct {
    const char *preset;
    double token_bytes, snapshot_bytes;
} Released;

/* Two sizes of the same files, each of so many units and as many snapshots as savings: two
 * equations, of which the sizes of a unit and of a snapshot come out. */
static void
test_bytes(gconstpointer data)
{
    const Released *released = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    g_autofree char *root = g_dir_make_tmp("pandect-XXXXXX", NULL);
    g_autofree char *db_path = g_build_filename(root, "corpus.db", NULL);
    g_autofree char *kv = g_build_filename(root, "kv", NULL);
    g_autoptr(PdModel) model = open_shape(released->preset);
    PdSessionOptions options = {.n_sequences = 1,
                                .max_tokens = MANY * UNIT,
                                .kv_type = PD_Q8_0,
                                .batch_rows = 1,
                                .reference = TRUE}; /* which needs no weights made ready */
    g_autoptr(PdSession) session = pd_session_new(model, &options, &error);
    sqlite3 *db;
    g_assert_no_error(error);
    g_assert_cmpint(pd_ds_unit_tokens(&model->deepseek->shape), ==, UNIT);
    g_assert_cmpint(sqlite3_open(db_path, &db), ==, SQLITE_OK);
    PdKvStore *store = pd_kv_store_open(db, kv, FALSE, &error);
    g_assert_no_error(error);
    pd_kv_store_set_io(store, &io);
    put_units(session, 0, FEW, rand);
    double few = save(session, store);
    put_units(session, FEW, MANY, rand);
    double many = save(session, store); /* of both savings */
    double unit = (many - 2 * few) / (MANY - 2 * FEW);
    assert_within("bytes a token", unit / UNIT, released->token_bytes, 0.01);
    assert_within("bytes of a snapshot", few - FEW * unit, released->snapshot_bytes, 0.01);
    pd_kv_store_free(store);
    sqlite3_close(db);
    pd_remove_tree(root);
}

int
main(int argc, char **argv)
{
    static const Released released[] = {{"deepseek-v4-flash", 3508.8, 3.64e6},
                                        {"deepseek-v4-pro", 5023.7, 5.17e6}};
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(released); i++) {
        g_autofree char *path = g_strconcat("/deepseek/bytes/", released[i].preset, NULL);
        g_test_add_data_func(path, &released[i], test_bytes);
    }
    return g_test_run();
}
