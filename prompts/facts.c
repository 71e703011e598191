/*
 * See facts.h.  A family is one or more sentences and a question with slots: `{type}` is drawn once
 * a fact and is the same wherever it stands, `{=type}` is drawn each time and is (part of) the
 * answer.  Invented names are made of syllables; numbers are odd in TRAIN and even in TEST, so that
 * no answer of one split is an answer of the other.
 *
 * The random numbers are SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
 * generators, 2014): the same on every machine, whatever GLib's generator does.
 */
#include "prompts/facts.h"

#include <string.h>

#include "prompts/mix.h"

typedef struct {
    const char *sentences[3];
    const char *question;
} Family;

typedef struct {
    const Family *families;
    guint n_families;
} FamilyList;

typedef struct {
    const char *const *onsets; /* of invented names */
    const char *const *product_ends;
    const char *const *town_ends;
    const char *const *surname_ends;
    const char *const *given_names;
    const char *const *colours;
    const char *const *days;
    const char *const *months;
    const char *const *street_ends;
    const char *const *company_ends;
    guint parity; /* of numbers */
} Vocabulary;

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const Vocabulary vocabularies[] = {
    [PD_FACTS_TRAIN] =
        {.onsets = WORDS("Bar", "Cel", "Dor", "Fen", "Gal", "Hol", "Jor", "Kes", "Lun", "Mar",
                         "Nor", "Pel", "Ros", "Sel", "Tam", "Vor"),
         .product_ends = WORDS("ax", "bit", "cor", "dex", "flo", "lix", "mat", "nix", "pro", "tek"),
         .town_ends =
             WORDS("borg", "by", "fors", "heim", "holm", "hus", "lund", "ness", "stad", "vik"),
         .surname_ends = WORDS("ander", "berg", "dahl", "elius", "gren", "quist", "sen", "strand"),
         .given_names =
             WORDS("Agnes", "Birgit", "Carl", "Dagmar", "Einar", "Frida", "Gustav", "Hedda", "Ivar",
                   "Jonna", "Knut", "Liv", "Marit", "Nils", "Olaf", "Petra"),
         .colours = WORDS("crimson", "ochre", "turquoise", "violet", "beige", "silver"),
         .days = WORDS("Monday", "Wednesday", "Friday"),
         .months = WORDS("January", "March", "May", "July", "September", "November"),
         .street_ends = WORDS("Street", "Lane", "Square"),
         .company_ends = WORDS("Works", "Partners", "Brothers"),
         .parity = 1},
    [PD_FACTS_TEST] = {.onsets = WORDS("Ab", "Bri", "Cas", "Del", "El", "Fio", "Gri", "Ir", "Lor",
                                       "Mon", "Nev", "Or", "Pra", "San", "Tre", "Ul"),
                       .product_ends = WORDS("aro", "ino", "ulix", "eta", "ovan", "iris", "anda",
                                             "uma", "ero", "isto"),
                       .town_ends = WORDS("acco", "bridge", "combe", "field", "ford", "minster",
                                          "mouth", "port", "ville", "worth"),
                       .surname_ends =
                           WORDS("ani", "etti", "ington", "ucci", "ley", "oni", "shaw", "well"),
                       .given_names = WORDS("Alba", "Bruno", "Chiara", "Dario", "Elsa", "Fabio",
                                            "Gina", "Hugo", "Ilaria", "Luca", "Mara", "Nico",
                                            "Oriana", "Paolo", "Rita", "Silvio"),
                       .colours =
                           WORDS("scarlet", "mustard", "indigo", "olive", "maroon", "bronze"),
                       .days = WORDS("Tuesday", "Thursday", "Saturday"),
                       .months =
                           WORDS("February", "April", "June", "August", "October", "December"),
                       .street_ends = WORDS("Road", "Avenue", "Terrace"),
                       .company_ends = WORDS("Limited", "Holdings", "Sons"),
                       .parity = 0},
};

static const Family train_literal[] = {
    {{"The access code of the {product} cabinet is {=code}."},
     "What is the access code of the {product} cabinet?"},
    {{"{name} approved the budget of project {product} on {=date}."},
     "When did {name} approve the budget of project {product}?"},
    {{"The {product} pump runs at a pressure of {=num} bar."},
     "At what pressure does the {product} pump run?"},
    {{"The contract with {company} is supervised by {=name}."},
     "Who supervises the contract with {company}?"},
    {{"Deliveries for the {product} line go to the depot in {=town}."},
     "To which depot do deliveries for the {product} line go?"},
    {{"The {product} release was tagged at revision {=hex}."},
     "At which revision was the {product} release tagged?"},
    {{"The ledger lists the invoice of {company} at {=money}."},
     "At what amount does the ledger list the invoice of {company}?"},
    {{"The first trial with {product} enrolled {=num} volunteers."},
     "How many volunteers did the first trial with {product} enrol?"},
};

static const Family test_literal[] = {
    {{"The part number of the {product} gearbox is {=code}."},
     "What is the part number of the {product} gearbox?"},
    {{"The lease of the {town} branch ends on {=date}."},
     "When does the lease of the {town} branch end?"},
    {{"The {product} sensor needs recalibration after {=num} cycles."},
     "After how many cycles does the {product} sensor need recalibration?"},
    {{"{=name} maintains the {product} driver."}, "Who maintains the {product} driver?"},
    {{"The {product} prototype was assembled in {=town}."},
     "Where was the {product} prototype assembled?"},
    {{"The checksum of the {product} firmware starts with {=hex}."},
     "What does the checksum of the {product} firmware start with?"},
    {{"The settlement with {company} amounts to {=money}."},
     "What does the settlement with {company} amount to?"},
    {{"The ward in {town} discharged {=num} patients."},
     "How many patients did the ward in {town} discharge?"},
};

static const Family train_key_value[] = {
    {{"\"{uuid}\": \"{=id}\""}, "What is the value of the key \"{uuid}\"?"},
};

static const Family test_key_value[] = {
    {{"entry <{uuid}> = {=id};"}, "Which identifier does entry <{uuid}> hold?"},
};

static const Family train_multi_value[] = {
    {{"{name} gave a talk in {=town}.", "In {=town} the audience listened to {name}.",
      "{name} spoke to the members in {=town}."},
     "In which three towns did {name} speak?"},
    {{"The {product} audit was carried out by {=name}.",
      "Among the auditors of {product} is {=name}.", "{=name} joined the {product} audit as well."},
     "Which three people audited {product}?"},
    {{"One licence number of {company} is {=code}.", "{company} also holds licence {=code}.",
      "The regulator gave licence {=code} to {company}."},
     "Which three licence numbers does {company} hold?"},
};

static const Family test_multi_value[] = {
    {{"{company} opened an office in {=town}.", "There is a branch office of {company} in {=town}.",
      "The office in {=town} belongs to {company}."},
     "In which three places does {company} have an office?"},
    {{"{=name} owns shares of {company}.", "A part of {company} is owned by {=name}.",
      "Shares of {company} were sold to {=name}."},
     "Which three people own shares of {company}?"},
    {{"The {product} machine was stopped with error {=code}.",
      "Error {=code} was seen on the {product} machine.",
      "The log of the {product} machine shows error {=code}."},
     "Which three errors occurred on the {product} machine?"},
};

static const Family train_hop[] = {
    {{"Project {product} is run by the team in {town}.",
      "The team in {town} holds its review every {=day}."},
     "On which day of the week does the team that runs project {product} hold its review?"},
    {{"The {product} module was written by {name}.", "{name} lives in {=town}."},
     "In which town does the author of the {product} module live?"},
    {{"The {product} shipment was insured by {company}.", "The director of {company} is {=name}."},
     "Who is the director of the company that insured the {product} shipment?"},
    {{"{name} is treated with {product}.", "Two tablets of {product} cost {=money}."},
     "What do two tablets of the medicine cost that {name} is treated with?"},
};

static const Family test_hop[] = {
    {{"{name} drives the van of {company}.", "The van of {company} is {=colour}."},
     "Which colour is the van that {name} drives?"},
    {{"The {product} engine is tested in the hall at {town}.",
      "The hall at {town} was built in {=year}."},
     "In which year was the hall built where the {product} engine is tested?"},
    {{"{company} is represented by the lawyer {name}.", "The lawyer {name} studied in {=town}."},
     "Where did the lawyer who represents {company} study?"},
    {{"The appendix of the {product} manual was edited by {name}.",
      "The extension of {name} is {=num}."},
     "What is the extension of the editor of the appendix of the {product} manual?"},
};

/* No content word of a question is in its statement, not even as another form of it. */
static const Family train_paraphrase[] = {
    {{"Since spring the archive has been kept in the old brewery on {=street}."},
     "Where are historical records stored nowadays?"},
    {{"{=name} brings the coffee machine back to life whenever it breaks."},
     "Whom should I call about a faulty espresso maker?"},
    {{"Children of employees may spend the holidays at the camp in {=town}."},
     "Which location hosts youngsters of our staff during school vacations?"},
    {{"The bridge was closed after inspectors noticed rust on {=num} of its cables."},
     "How many suspension strands showed corrosion?"},
    {{"The surgeon asked for {=num} units of blood before opening the chest."},
     "What quantity of transfusion supplies did the operating doctor request?"},
    {{"Our landlord wants the premises emptied by {=date}."}, "When must the tenants move out?"},
    {{"Whoever forgets the alarm pays {=num} crowns into the tea fund."},
     "How large is the penalty for leaving without arming the burglar detector?"},
    {{"Letters to the ombudsman are opened by {=name} alone."},
     "Who reads correspondence addressed to the complaints officer?"},
    {{"The compiler crashed because {=name} had removed a semicolon from the grammar."},
     "Which person caused the build tool to fail by deleting punctuation?"},
    {{"Patients with a peanut allergy were moved to the clinic in {=town}."},
     "Where do people who cannot tolerate groundnuts get treated now?"},
    {{"The witness swore she saw the {=colour} van leave the harbour."},
     "What hue was the vehicle that, under oath, departed from the docks?"},
    {{"The warehouse lease now costs {=money} every quarter."},
     "What is the price of the storage hall rental?"},
    {{"Lightning struck the pumping station at {=time} and the valves stayed open."},
     "At what hour did a thunderbolt hit the waterworks?"},
    {{"The judge adjourned the trial until {=date}."}, "When will court proceedings resume?"},
    {{"The elevator can lift {=num} people at once."},
     "What occupancy may the cabin between floors not exceed?"},
    {{"{=name} lost the keys to the server cabinet on a ferry."},
     "Who misplaced what unlocks the rack of computers during a boat trip?"},
    {{"The bakery on the ground floor gives our interns a {=num} percent discount."},
     "By how much are pastries cheaper for trainees downstairs?"},
    {{"Apples from the orchard behind the plant are pressed in {=town}."},
     "Where is fruit grown near the factory turned into juice?"},
    {{"The dentist sends reminders {=num} days ahead."},
     "How long before an appointment does the tooth doctor notify people?"},
    {{"The ship's cook is {=name}, a former boxer."}, "Who prepares meals aboard the vessel?"},
    {{"Smoking near the gas tanks cost the contractor {=money}."},
     "What fine was charged for lighting cigarettes beside the fuel reservoirs?"},
    {{"The vaccine spoils above {=num} degrees."},
     "At which temperature does the inoculation become useless?"},
    {{"The choir rehearses in the canteen every {=day}."},
     "Which weekday do singers practise in the cafeteria?"},
    {{"A fox had chewed through the fibre at {=town}."},
     "Where did an animal damage the optical line?"},
    {{"The insurer refused to pay because the roof was built in {=year}."},
     "What construction date of the house top made the policy claim be rejected?"},
    {{"{=name} inherited the vineyard together with its debts."},
     "Who became owner of the wine estate through a will?"},
    {{"Our backups travel by courier to a salt mine in {=town}."},
     "Where do copies of data end up underground?"},
    {{"The night nurse counted {=num} morphine ampoules."},
     "How many doses of opiate did the ward carer tally after dark?"},
    {{"The printer only accepts {=colour} paper for invoices."},
     "Which tint must the sheets for bills have?"},
    {{"The strike ended when the union got {=num} extra days of leave."},
     "How much more vacation settled the labour walkout?"},
    {{"The patent on the hinge runs out in {=year}."},
     "When does exclusive protection of the door joint invention expire?"},
    {{"Mosquitoes forced the surveyors to abandon the marsh near {=town}."},
     "Where did insects drive the land measurers away from a swamp?"},
    {{"The widow sold the painting to {=company}."},
     "Which firm bought the canvas from the bereaved wife?"},
    {{"Drivers must rest after {=num} hours at the wheel."},
     "How long may a trucker steer without a break?"},
    {{"The translation into Finnish was done by {=name}."},
     "Who rendered the text in the language of Helsinki?"},
    {{"The wind turbine shuts itself off in gusts above {=num} knots."},
     "Which air speed stops the rotor that generates electricity?"},
    {{"The moon rover carries a camera made by {=company}."},
     "Who manufactured the imaging device of the lunar vehicle?"},
    {{"The gardener found the stolen laptop under the {=colour} rhododendron."},
     "What shade is the bush where the missing computer turned up?"},
    {{"Mail that carries the wrong postcode is returned from {=town}."},
     "Where do misaddressed letters come back from?"},
    {{"The anaesthetist was trained at the hospital of {=town}."},
     "Where did the specialist for putting patients to sleep study?"},
    {{"The debt collector gave the couple until {=time} to open the door."},
     "What deadline at the entrance did the bailiff set?"},
    {{"The helicopter landed on the roof of {=company} by mistake."},
     "Whose building did the rotorcraft touch down upon accidentally?"},
    {{"The cheese in the cellar must be turned every {=num} hours."},
     "How often does the dairy product need flipping?"},
    {{"Fishermen handed the black box to {=name}."},
     "Who received the flight recorder from the trawler crew?"},
};

static const Family test_paraphrase[] = {
    {{"The new fire engine is parked behind the museum in {=town}."},
     "Where does the vehicle that extinguishes blazes stand?"},
    {{"{=name} waters the palms in the lobby."},
     "Who looks after the plants at the entrance hall?"},
    {{"The lighthouse keeper retired in {=year}."},
     "When did the man tending the coastal beacon stop working?"},
    {{"The violin was insured for {=money}."},
     "What sum covers the loss of the string instrument?"},
    {{"The tumour had shrunk to {=num} millimetres."},
     "What size did the growth have after treatment?"},
    {{"The heiress contested the will in front of a notary from {=town}."},
     "Where did the official who heard the challenge against the testament come from?"},
    {{"The glacier has retreated {=num} metres in a decade."},
     "By what distance did the ice withdraw over ten years?"},
    {{"{=name} knows the safe's combination by heart."},
     "Who has memorised how to unlock the strongbox?"},
    {{"Bees settled in the ventilation shaft of the {=colour} tower."},
     "What paint is on the high-rise where a swarm moved into an air duct?"},
    {{"The auction house withdrew the carpet after a phone call from {=company}."},
     "Which firm's ring made the rug disappear from sale?"},
    {{"The pilot reported ice on the wings at {=time}."},
     "What did the clock say when the captain mentioned frozen surfaces?"},
    {{"The bus to the quarry leaves on {=day} only."},
     "Which weekday offers public transport to the stone pit?"},
    {{"The jury took {=num} hours to agree."}, "How long did the lay panel deliberate?"},
    {{"Our cleaning firm was swallowed by {=company}."},
     "Who acquired the business that mops the floors?"},
    {{"The cast on the goalkeeper's arm comes off on {=date}."},
     "When is the plaster of the injured footballer removed?"},
    {{"The tunnel floods whenever the river rises above {=num} centimetres."},
     "Which water level inundates the underground passage?"},
    {{"The parrot in the reception learned its swearing from {=name}."},
     "Who taught the bird at the front desk rude expressions?"},
    {{"The soup kitchen feeds {=num} homeless people a day."},
     "How many destitute persons get a charity meal?"},
    {{"The forged passport gave {=town} as the place of birth."},
     "Which origin was claimed in the counterfeit travel document?"},
    {{"The brakes were designed by {=name} on a napkin."},
     "Who sketched the stopping mechanism on a serviette?"},
    {{"Reindeer have right of way on the runway at {=town}."},
     "Which airfield gives priority to antlered herds?"},
    {{"The pharmacist mixes the ointment on {=day}."},
     "When in the week is the skin salve prepared by the apothecary?"},
    {{"The divorce was granted in {=year}."}, "When was the marriage dissolved?"},
    {{"The submarine cable comes ashore at {=town}."}, "Where does the undersea link reach land?"},
    {{"The tax office froze the account of {=company}."},
     "Whose bank deposits did revenue authorities block?"},
    {{"Students may keep library books for {=num} weeks."},
     "What is the lending period for pupils borrowing volumes?"},
    {{"{=name} umpires when the accountants play cricket."},
     "Who referees the bookkeepers' bat-and-ball matches?"},
    {{"The thief escaped on a {=colour} bicycle."}, "Which tint had the robber's two-wheeler?"},
    {{"The boiler was replaced for {=money} before winter."},
     "How expensive was swapping the heating unit?"},
    {{"The monks brew their beer with water from {=town}."},
     "Where does the liquid for the abbey's ale come from?"},
    {{"The microscope in the basement belongs to {=company}."},
     "Who owns the magnifying instrument downstairs?"},
    {{"The tailor shortened the sleeves by {=num} centimetres."},
     "How much fabric was cut off the arms of the garment?"},
    {{"The orphanage burned down in {=year}."},
     "When did flames destroy the home of parentless children?"},
    {{"The mayor's speech was written by {=name}."}, "Who authored the town leader's address?"},
    {{"A swan blocked the lock gate at {=town}."},
     "Where was canal navigation obstructed by a waterfowl?"},
    {{"The satellite weighs {=num} kilograms without fuel."},
     "What is the dry mass of the orbiting probe?"},
    {{"The reference letter for the apprentice is signed by {=name}."},
     "Who put the autograph below the young worker's recommendation?"},
    {{"Snow closed the mountain pass on {=date}."},
     "When did winter weather make the alpine road unusable?"},
    {{"The piano tuner charges {=money} a visit."},
     "What is the fee for fixing the sound of the grand?"},
    {{"The inmates grow tomatoes in the yard of the prison at {=town}."},
     "Where do convicts cultivate vegetables?"},
    {{"The gene was silenced in {=num} of the mice."},
     "How many rodents had the DNA segment switched off?"},
    {{"The telescope on the hill was blinded by a {=colour} laser."},
     "Which light beam dazzled the astronomers' instrument?"},
    {{"Grandmother's recipe needs {=num} egg yolks."},
     "What count of yellow parts does the old family dish call for?"},
    {{"The ransom note was typed on paper from {=company}."},
     "Which supplier's stationery did the kidnappers use?"},
};

#define LIST(array)                                                                                \
    {                                                                                              \
        array, G_N_ELEMENTS(array)                                                                 \
    }
/* (kind, split); a question about an absent fact has the form of a literal one. */
static const FamilyList family_lists[][2] = {
    [PD_FACT_LITERAL] = {LIST(train_literal), LIST(test_literal)},
    [PD_FACT_KEY_VALUE] = {LIST(train_key_value), LIST(test_key_value)},
    [PD_FACT_MULTI_VALUE] = {LIST(train_multi_value), LIST(test_multi_value)},
    [PD_FACT_PARAPHRASE] = {LIST(train_paraphrase), LIST(test_paraphrase)},
    [PD_FACT_HOP] = {LIST(train_hop), LIST(test_hop)},
    [PD_FACT_ABSENT] = {LIST(train_literal), LIST(test_literal)},
};

typedef struct {
    const Vocabulary *words;
    PdFactKind kind;
    guint64 seed;
    guint64 state; /* of the random numbers */
    guint index;   /* of the fact being made */
    GHashTable *slots;
    PdFact *fact;
} Maker;

static guint64
draw(Maker *maker)
{
    guint64 number = pd_mix(maker->state);

    maker->state += PD_MIX_STEP;
    return number;
}

static guint
draw_below(Maker *maker, guint n)
{
    return (guint)(draw(maker) % n);
}

static const char *
pick(Maker *maker, const char *const *words)
{
    return words[draw_below(maker, g_strv_length((char **)words))];
}

/* A number of the split's parity in [from, to). */
static guint
draw_number(Maker *maker, guint from, guint to)
{
    return (from + draw_below(maker, to - from)) / 2 * 2 + maker->words->parity;
}

/* One or two syllables and an ending. */
static char *
invent(Maker *maker, gboolean is_long, const char *const *ends)
{
    const char *first = pick(maker, maker->words->onsets);
    g_autofree char *second = g_ascii_strdown(pick(maker, maker->words->onsets), -1);

    return g_strconcat(first, is_long ? second : "", pick(maker, ends), NULL);
}

/* A random UUID; of keys four neighbours look alike, they differ in the last twelve digits only. */
static char *
draw_uuid(Maker *maker, gboolean is_key)
{
    guint64 a = is_key ? pd_mix_bits(maker->seed ^ pd_mix_bits(maker->index / 4 + 1)) : draw(maker);
    guint64 b = draw(maker);

    return g_strdup_printf("%08x-%04x-4%03x-8%03x-%012" G_GINT64_MODIFIER "x", (guint)(a >> 32),
                           (guint)(a >> 16) & 0xffff, (guint)(a >> 4) & 0xfff,
                           (guint)(pd_mix_bits(a) & 0xfff), b & G_GUINT64_CONSTANT(0xffffffffffff));
}

static char *
draw_value(Maker *maker, const char *type)
{
    const Vocabulary *words = maker->words;
    g_autofree char *invented = NULL;

    if (strcmp(type, "product") == 0) {
        /* An absent fact's product is none that is planted. */
        guint number = draw_number(maker, 10, 500) + (maker->kind == PD_FACT_ABSENT ? 500 : 0);
        invented = invent(maker, FALSE, words->product_ends);
        return g_strdup_printf("%s %u", invented, number);
    }
    if (strcmp(type, "name") == 0) {
        invented = invent(maker, TRUE, words->surname_ends);
        return g_strdup_printf("%s %s", pick(maker, words->given_names), invented);
    }
    if (strcmp(type, "company") == 0) {
        invented = invent(maker, TRUE, words->surname_ends);
        return g_strdup_printf("%s %s %s", invented,
                               maker->kind == PD_FACT_ABSENT ? "Southern" : "United",
                               pick(maker, words->company_ends));
    }
    if (strcmp(type, "street") == 0) {
        invented = invent(maker, TRUE, words->surname_ends);
        return g_strdup_printf("%s %s", invented, pick(maker, words->street_ends));
    }
    if (strcmp(type, "town") == 0) {
        invented = invent(maker, TRUE, words->town_ends);
        return g_strdup_printf("%s%s", maker->kind == PD_FACT_ABSENT ? "South " : "", invented);
    }
    if (strcmp(type, "colour") == 0) {
        invented = invent(maker, FALSE, words->product_ends);
        return g_strdup_printf("%s %s", invented, pick(maker, words->colours));
    }
    if (strcmp(type, "day") == 0) {
        const char *day = pick(maker, words->days);
        guint hour = draw_below(maker, 24);
        return g_strdup_printf("%s at %02u:%02u", day, hour, draw_number(maker, 10, 59));
    }
    if (strcmp(type, "date") == 0) {
        const char *month = pick(maker, words->months);
        return g_strdup_printf("%u %s", draw_number(maker, 2, 28), month);
    }
    if (strcmp(type, "time") == 0) {
        guint hour = draw_below(maker, 24);
        return g_strdup_printf("%02u:%02u", hour, draw_number(maker, 10, 59));
    }
    if (strcmp(type, "year") == 0)
        return g_strdup_printf("%u", draw_number(maker, 1880, 2020));
    if (strcmp(type, "num") == 0)
        return g_strdup_printf("%u", draw_number(maker, 12, 980));
    if (strcmp(type, "money") == 0) {
        guint thousands = 1 + draw_below(maker, 89);
        return g_strdup_printf("%u,%03u euros", thousands, draw_number(maker, 0, 999));
    }
    if (strcmp(type, "code") == 0) {
        char a = 'A' + (char)draw_below(maker, 26), b = 'A' + (char)draw_below(maker, 26);
        return g_strdup_printf("%c%c-%u", a, b, draw_number(maker, 1000, 9998));
    }
    if (strcmp(type, "hex") == 0) {
        guint high = (guint)draw(maker) & 0xffffff;
        return g_strdup_printf("%06x%02x", high, draw_number(maker, 0, 0xff));
    }
    return draw_uuid(maker, strcmp(type, "uuid") == 0);
}

/* Is the value an answer already?  (Of a name the last part may be what is accepted.) */
static gboolean
is_accepted(const PdFact *fact, const char *value)
{
    for (guint i = 0; i < fact->accept->len; i++)
        if (g_str_has_suffix(value, g_ptr_array_index(fact->accept, i)))
            return TRUE;
    return FALSE;
}

/* The answer and its other spellings; of several values only one spelling, as all are needed. */
static void
add_answer(Maker *maker, const char *type, const char *value)
{
    GPtrArray *accept = maker->fact->accept;
    const char *blank = strchr(value, ' ');

    if (maker->kind == PD_FACT_MULTI_VALUE && strcmp(type, "name") == 0) {
        g_ptr_array_add(accept, g_strdup(blank + 1));
        return;
    }
    g_ptr_array_add(accept, g_strdup(value));
    if (maker->kind == PD_FACT_MULTI_VALUE)
        return;
    if (strcmp(type, "name") == 0 || strcmp(type, "colour") == 0)
        g_ptr_array_add(accept, g_strdup(blank + 1));
    if (strcmp(type, "company") == 0 || strcmp(type, "day") == 0)
        g_ptr_array_add(accept, g_strndup(value, (gsize)(blank - value)));
    if (strcmp(type, "date") == 0) {
        g_autofree char *day = g_strndup(value, (gsize)(blank - value));
        g_ptr_array_add(accept, g_strdup_printf("%s %s", blank + 1, day));
        g_ptr_array_add(accept, g_strdup_printf("%sth of %s", day, blank + 1));
        g_ptr_array_add(accept, g_strdup_printf("%s %sth", blank + 1, day));
    }
    if (strcmp(type, "money") == 0) {
        g_auto(GStrv) digits = g_strsplit(value, ",", 2);
        g_ptr_array_add(accept, g_strndup(value, (gsize)(blank - value)));
        g_ptr_array_add(accept, g_strdup_printf("%s%.3s", digits[0], digits[1]));
    }
}

static gboolean
is_slot_value(Maker *maker, const char *value)
{
    GHashTableIter iter;
    gpointer slot;

    g_hash_table_iter_init(&iter, maker->slots);
    while (g_hash_table_iter_next(&iter, NULL, &slot))
        if (strcmp(slot, value) == 0)
            return TRUE;
    return FALSE;
}

static char *
fill(Maker *maker, const char *template)
{
    GString *out = g_string_new(NULL);

    for (const char *p = template; *p;) {
        const char *end = strchr(p, '}');
        gboolean is_answer = p[1] == '=';
        g_autofree char *type = NULL, *value = NULL;

        if (*p != '{') {
            g_string_append_c(out, *p++);
            continue;
        }
        p += is_answer ? 2 : 1;
        type = g_strndup(p, (gsize)(end - p));
        p = end + 1;
        if (!is_answer) {
            const char *kept = g_hash_table_lookup(maker->slots, type);
            if (!kept)
                g_hash_table_insert(maker->slots, g_strdup(type), draw_value(maker, type));
            g_string_append(out, g_hash_table_lookup(maker->slots, type));
            continue;
        }
        do {
            g_free(value);
            value = draw_value(maker, type);
        } while (is_accepted(maker->fact, value) || is_slot_value(maker, value));
        add_answer(maker, type, value);
        g_string_append(out, value);
    }
    return g_string_free(out, FALSE);
}

static PdFact *
make_fact(Maker *maker, const Family *family)
{
    PdFact *fact = g_new0(PdFact, 1);

    fact->kind = maker->kind;
    fact->sentences = g_ptr_array_new_with_free_func(g_free);
    fact->accept = g_ptr_array_new_with_free_func(g_free);
    maker->fact = fact;
    g_hash_table_remove_all(maker->slots);
    fact->question = fill(maker, family->question); /* first: its slots, then the answers */
    if (maker->kind == PD_FACT_ABSENT)
        return fact;
    for (guint i = 0; i < G_N_ELEMENTS(family->sentences) && family->sentences[i]; i++)
        g_ptr_array_add(fact->sentences, fill(maker, family->sentences[i]));
    return fact;
}

void
pd_fact_free(PdFact *fact)
{
    if (!fact)
        return;
    g_free(fact->question);
    g_ptr_array_unref(fact->sentences);
    g_ptr_array_unref(fact->accept);
    g_free(fact);
}

/* The families in an order of the seed. */
static guint *
shuffle(Maker *maker, guint n)
{
    guint *order = g_new(guint, n);

    for (guint i = 0; i < n; i++)
        order[i] = i;
    for (guint i = n; i > 1; i--) {
        guint j = draw_below(maker, i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
    return order;
}

/* What may not come twice: the question, or, where it has no slots, the statement. */
static const char *
identity(const PdFact *fact)
{
    return fact->kind == PD_FACT_PARAPHRASE ? g_ptr_array_index(fact->sentences, 0)
                                            : fact->question;
}

GPtrArray *
pd_facts_new(PdFactKind kind, PdFactSplit split, guint64 seed, guint n)
{
    const FamilyList *list = &family_lists[kind][split];
    GPtrArray *facts = g_ptr_array_new_with_free_func((GDestroyNotify)pd_fact_free);
    g_autoptr(GHashTable) slots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    Maker maker = {.words = &vocabularies[split], .kind = kind, .slots = slots};
    g_autofree guint *order = NULL;

    maker.seed = pd_mix_bits(seed ^ pd_mix_bits((guint64)kind * 2 + split + 1));
    maker.state = maker.seed;
    order = shuffle(&maker, list->n_families);
    while (facts->len < n) {
        PdFact *fact;

        maker.index = facts->len;
        fact = make_fact(&maker, &list->families[order[facts->len % list->n_families]]);
        if (g_hash_table_contains(seen, identity(fact))) {
            pd_fact_free(fact);
            continue;
        }
        g_hash_table_add(seen, (gpointer)identity(fact));
        g_ptr_array_add(facts, fact);
    }
    return facts;
}

/* Lower case, white space as one blank. */
static char *
fold(const char *text)
{
    g_autofree char *lower = g_utf8_casefold(text, -1);
    GString *out = g_string_new(NULL);

    for (const char *p = lower; *p; p++) {
        if (!g_ascii_isspace(*p))
            g_string_append_c(out, *p);
        else if (out->len && out->str[out->len - 1] != ' ')
            g_string_append_c(out, ' ');
    }
    return g_string_free(out, FALSE);
}

static gboolean
is_word_byte(char c)
{
    return g_ascii_isalnum(c) || (guchar)c >= 0x80;
}

/* Is the hit a whole word?  A number may be followed by its unit ("12kg"), not by more number. */
static gboolean
stands_alone(const char *text, const char *hit, gsize n)
{
    char first = hit[0], last = hit[n - 1], next = hit[n];
    gboolean is_number = TRUE;

    for (gsize i = 0; i < n; i++)
        is_number &= g_ascii_isdigit(hit[i]) || hit[i] == ',';
    if (hit > text && is_word_byte(first) && is_word_byte(hit[-1]))
        return FALSE;
    if (hit > text + 1 && g_ascii_isdigit(first) && (hit[-1] == '.' || hit[-1] == ',') &&
        g_ascii_isdigit(hit[-2]))
        return FALSE;
    if (is_number)
        return !g_ascii_isdigit(next) &&
               !((next == '.' || next == ',') && g_ascii_isdigit(hit[n + 1]));
    return !is_word_byte(last) || !is_word_byte(next);
}

static gboolean
is_in(const char *answer, const char *spelling)
{
    g_autofree char *needle = fold(spelling);
    gsize n = strlen(needle);

    for (const char *hit = strstr(answer, needle); n && hit; hit = strstr(hit + 1, needle))
        if (stands_alone(answer, hit, n))
            return TRUE;
    return FALSE;
}

gboolean
pd_fact_answered(const PdFact *fact, const char *answer)
{
    g_autofree char *folded = fold(answer);
    guint n_found = 0;

    if (fact->kind == PD_FACT_ABSENT)
        return FALSE;
    for (guint i = 0; i < fact->accept->len; i++)
        n_found += is_in(folded, g_ptr_array_index(fact->accept, i));
    return fact->kind == PD_FACT_MULTI_VALUE ? n_found == fact->accept->len : n_found > 0;
}
