/*
 * Colour profiles are read once a document.
 *
 * A PDF may bring the profile of the device that its colours are meant for (ISO 32000-1, 8.6.5.5
 * and 14.11.5).  poppler has Little CMS open it anew for every page, and invert its curves for four
 * transformations whether the page has a colour or not, which takes several times as long as
 * reading the page.  The same bytes make the same profile, and the same profiles the same
 * transformation, so those that were made are kept here: the functions of Little CMS that make and
 * free them stand here in place of its own (as pdf_glyphs.c has it with cairo's) and call those
 * only for what is new.  Colours are what they would be.
 *
 * Readers have one thread, and live as long as one document.
 */
#include <dlfcn.h>
#include <glib.h>

/* More of them, or larger ones, are made and freed as without this. */
#define KEPT_MAX 64
#define PROFILE_BYTES_MAX (4u << 20)

/* Of lcms2.h, where the first two are pointers too. */
typedef void *Profile;
typedef void *Transform;
Profile cmsOpenProfileFromMem(const void *bytes, guint32 n);
Profile cmsCreateXYZProfile(void);
Profile cmsCreate_sRGBProfile(void);
int cmsCloseProfile(Profile profile);
Transform cmsCreateTransform(Profile input, guint32 input_format, Profile output,
                             guint32 output_format, guint32 intent, guint32 flags);
void cmsDeleteTransform(Transform transform);

static GHashTable *made; /* what it is made of -> Profile or Transform */
static GHashTable *kept; /* set of these */

/* Little CMS' own function. */
static void *
own(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    g_assert(function); /* else nobody would have called */
    return function;
}

static gboolean
is_kept(const void *handle)
{
    return kept && g_hash_table_contains(kept, handle);
}

static void *
find(const char *key)
{
    return made ? g_hash_table_lookup(made, key) : NULL;
}

/* `handle` NULL: it could not be made. */
static void *
keep(const char *key, void *handle)
{
    if (!made) {
        made = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        kept = g_hash_table_new(NULL, NULL);
    }
    if (handle && g_hash_table_size(made) < KEPT_MAX) {
        g_hash_table_insert(made, g_strdup(key), handle);
        g_hash_table_add(kept, handle);
    }
    return handle;
}

Profile
cmsOpenProfileFromMem(const void *bytes, guint32 n)
{
    Profile (*open)(const void *, guint32) = own("cmsOpenProfileFromMem");
    if (n > PROFILE_BYTES_MAX)
        return open(bytes, n);
    g_autofree char *key = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, n);
    Profile profile = find(key);
    return profile ? profile : keep(key, open(bytes, n));
}

static Profile
standard_profile(const char *function)
{
    Profile profile = find(function);
    Profile (*create)(void) = own(function);
    return profile ? profile : keep(function, create());
}

Profile
cmsCreateXYZProfile(void)
{
    return standard_profile("cmsCreateXYZProfile");
}

Profile
cmsCreate_sRGBProfile(void)
{
    return standard_profile("cmsCreate_sRGBProfile");
}

int
cmsCloseProfile(Profile profile)
{
    int (*close)(Profile) = own("cmsCloseProfile");
    return is_kept(profile) || close(profile);
}

Transform
cmsCreateTransform(Profile input, guint32 input_format, Profile output, guint32 output_format,
                   guint32 intent, guint32 flags)
{
    Transform (*create)(Profile, guint32, Profile, guint32, guint32, guint32) =
        own("cmsCreateTransform");
    /* The address of another may be that of the next. */
    if (!is_kept(input) || !is_kept(output))
        return create(input, input_format, output, output_format, intent, flags);
    g_autofree char *key = g_strdup_printf("%p/%u %p/%u %u %u", input, input_format, output,
                                           output_format, intent, flags);
    Transform transform = find(key);
    return transform ? transform
                     : keep(key, create(input, input_format, output, output_format, intent, flags));
}

void
cmsDeleteTransform(Transform transform)
{
    void (*delete)(Transform) = own("cmsDeleteTransform");
    if (!is_kept(transform))
        delete (transform);
}
