// Short English. A detector of languages counts letters, and a sign of two words has too few of them ("OPEN DOOR" looks Dutch):
// there common words decide.

const set = (words: string) => new Set(words.trim().split(/\s+/));

/** Common English words, without their endings. */
const common = set(`
  a able about above accept access account across act action active actor add address adult advice afraid after afternoon again
  against age ago agree ahead air all allow almost alone along already also always am among amount an and anger angle animal
  answer any anyone anything apart apple apply april are area argue arm army around arrive art article as ask asleep at attack
  attention august aunt author autumn available avoid awake away awesome baby back bad badge bag bake ball banana band bank bar
  base basic basket bath be beach bean bear beat beautiful beauty because become bed bedroom bee beef been beer before begin
  behind being believe bell below belt bench beside best better between beware beyond big bike bill bird birth birthday black blank
  blanket blood blow blue board boat body boil bomb bone book boot border bored born borrow both bottle bottom bowl box boy brain
  branch brave bread break breakfast breath breathe bridge bright bring broken brother brown brush budget build building bull burn
  bus bush business busy but butter button buy by cabin cake call calm camera camp can candle cannot capital captain car card care
  careful carpet carry cart case cash castle cat catch cause caution celebrate cell center centre century certain chain chair chance
  change chapter charge chase cheap check cheese chef cherry chest chicken child children choice choose christmas church cinema
  circle city claim class clean clear clever click climb clock close closed cloth clothes cloud club coach coal coast coat code
  coffee cold collect college color colour column come comfort common company compare complete computer concert condition connect
  contact contain continue control cook cookie cool copy corn corner correct cost cotton could count country couple courage course
  court cousin cover cow crash cream create credit crime cross crowd cry culture cup curious current custom cut daily damage dance
  danger dangerous dark data date daughter day dead deal dear death december decide deep deer degree delay deliver demand describe
  desert design desk detail develop did die diet different difficult dig dinner dirt dirty discover discuss dish distance do doctor
  does dog dollar done door double doubt down dozen draw dream dress drink drive driver drop dry duck due during dust duty each ear
  early earn earth east easy eat edge education effect effort egg eight either electric elephant eleven else email empty end ends enemy
  energy engine english enjoy enough enter entrance entry equal error escape even evening event ever every everyone everything
  evil exact exam example except excited exciting exit expect expensive experience explain express extra eye face fact fail fair faith fall
  false fame family famous far farm farmer fast fat father fault favorite favourite fear february feed feel feet fell fence few
  field fight fill film final find fine finger finish fire first fish fit five fix flag flat flight floor flour flow flower fly
  focus fold follow food foot football for force forest forever forget fork form forty forward found four fox free freedom fresh
  friday friend friendly frog from front fruit full fun funny future game garden gas gate gather gave general gentle get ghost giant
  gift girl give glad glass go goal goat god gold golden gone good goodbye got govern grade grand grandfather grandmother grass
  gray great green grey ground group grow guard guess guest guide guitar gun had hair half hall hammer hand handle hang happen happy
  hard harm has hat hate have he head health healthy hear heart heat heaven heavy height hello help hen her here hero hers hey hi hide
  high hill him his history hit hold hole holiday home honest honey hope horse hospital hot hotel hour house how huge human hundred
  hungry hunt hurry hurt husband i ice idea if ill image imagine important improve in inch include increase indeed information ink
  inside instead interest into invite iron is island issue it its january jacket jam january job join joke journey joy judge juice july
  jump june jungle just keep key kick kid kill kind king kiss kitchen kitten knee knew knife knock know knowledge lady lake lamp
  land language large last late later laugh law lay lazy lead leader leaf learn least leather leave left leg legal lemon lend less
  lesson let letter level library lie life lift light like likely limit line lion lip list listen little live local lock lonely
  long look lord lose lost lot loud love low luck lucky lunch machine mad made magic mail main make man manage many map march mark
  market marry master match material math matter may maybe me meal mean measure meat medicine meet melon member memory men mention
  menu mess message metal method middle might mile milk mill million mind mine minute mirror miss mistake mix model modern moment
  monday money monkey month moon more morning most mother motor mountain mouse mouth move movie much mud music must my name narrow
  nation nature near nearly neat neck need needle neighbor neighbour neither nervous nest net never new news next nice night nine no nobody noise
  none noon nor normal north nose not note nothing notice november now number nurse nut ocean october of off offer office often oil
  old on once one onion online only open opinion opposite or orange order other our out outside oven over own owner pack package
  page pain paint pair palace pan pants paper parent park part party pass past path patient pattern pause pay peace peach pen
  pencil people pepper perfect perhaps period permit person pet phone photo piano pick picnic picture pie piece pig pillow pilot pink
  pipe pizza place plain plan plane planet plant plate play player please pleasure plenty pocket poem poet point poison police policy
  polite pool poor popular position possible post pot potato pour power practice pray prefer prepare present president press pretty
  price prince princess print prison private prize problem process produce product program progress promise proof protect proud prove
  public pull puppy purple purpose push put puzzle quality quarter queen question quick quickly quiet quite rabbit race radio rain
  rainbow raise ran rat reach read ready real really reason receive recipe record red refuse region regret relax remember remove
  rent repair repeat reply report request rescue rest restaurant result return rice rich ride right ring rise river road robot rock
  role roll roof room root rope rose rough round row rubber rule run safe safety sail salad sale salt same sand sandwich saturday
  sauce save say scene school science scissors score sea search season seat second secret see seed seem self sell send sense
  sentence september serious serve service set seven several shade shadow shake shall shape share sharp she sheep sheet shelf shell shine
  ship shirt shock shoe shoot shop shore short should shoulder shout show shower shut shy sick side sight sign silence silent silk
  silly silver similar simple since sing single sister sit six size skill skin skirt sky sleep slice slip slow slowly small smart
  smell smile smoke smooth snack snake snow so soap soccer social sock soft soil soldier solution solve some someone something
  sometimes son song soon sorry sort soul sound soup south space speak special speech speed spell spend spice spider spirit spoon sport
  spot spread spring square stage stair stamp stand star start state station stay steal steam steel step still stomach stone stop
  store storm story stove straight strange stranger strawberry street strong student study stuff style success such sudden sugar suit summer
  sun sunday sunny sunset super support sure surface surprise sweet swim table tail take tale talk tall tape task taste tax taxi
  tea teach teacher team tear technology telephone television tell ten tennis tent term test text than thank thanks that the
  theater theatre their them then there these they thick thief thin thing think third thirsty thirty this those though thought
  thousand thread three through throw thursday ticket tie tiger tight till time tiny tip tired title to today toe together toilet
  tomato tomorrow tongue tonight too tool tooth top total touch tour toward towel tower town toy track trade traffic train travel
  treasure treat tree trick trip trouble truck true trust truth try tuesday turn turtle twelve twenty twice two type ugly umbrella
  uncle under understand unit until up upon upset us use useful user usual vacation valley value vegetable very victory video view village
  violin visit voice vote wait wake walk wall want war warm warn warning was wash waste watch water wave way we weak wear weather
  wednesday week weekend weight welcome well went were west wet what wheel when where which while white who whole whose why wide wife
  wild will win wind window wine wing winner winter wise wish with within without woman women won wonder wonderful wood wool word
  work worker world worry worse worst worth would wow write writer wrong yard year yellow yes yesterday yet you young your zero zoo`);

/** Words that other languages are full of and English does not have. */
const foreign = set(`
  der das und ist nicht ein eine ich du sie wir mit auf für dem den von zu le la les est une des et un du je tu il elle nous vous pas
  el los las es una que por para con como yo muy lo gli di che non per sono della uno os não uma em com het een van niet
  dat ik jij och är inte jag det som på og jeg ikke av er til en ja nein oui si nie jest na się ve bir bu`);

const endings = [/'s$/, /s$/, /es$/, /ies$/, /e?d$/, /ing$/, /ly$/, /er$/, /est$/, /y$/, /n't$/];

function isCommon(word: string): boolean {
  if (common.has(word)) return true;
  return endings.some((ending) => {
    const stem = word.replace(ending, "");
    if (stem === word || stem.length < 2) return false;
    const single = stem.replace(/([a-z])\1$/, "$1");
    return [stem, `${stem}e`, `${stem}y`, single].some((form) => common.has(form));
  });
}

/** Of fewer nobody can tell a language. */
const minLetters = 4;

/** Longer texts have letters enough for a detector. */
const maxWords = 20;

/** Whether a short text is English by its words: most of them are common ones, and none speaks for another language. */
export function isShortEnglish(text: string): boolean {
  if (/[^\p{ASCII}\p{P}\p{S}\p{Z}]/u.test(text)) return false;
  const words =
    text
      .toLowerCase()
      .replaceAll("’", "'")
      .match(/[a-z]+(?:'[a-z]+)*/g) ?? [];
  if (words.join("").length < minLetters || words.length > maxWords) return false;
  if (words.some((word) => foreign.has(word) && !common.has(word))) return false;
  return 2 * words.filter(isCommon).length > words.length;
}
