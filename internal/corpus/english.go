package corpus

// English words of support talk, the most frequent ones first.
const englishWords = `the I to my and is you a it for not have order in of this please can on with that your was but when be we are me refund from do hi at will help
thanks how as still if account an got so or payment there what any get received just shipping number check would after has been address product today delivery email
change card money item back thank package yet need delivered tried days sorry tracking again wrong issue could now working password login other one problem more
phone send return sent customer service support charged twice invoice subscription cancel cancelled cancelling error message page website app update updated version
screen battery charger cable broken damaged missing size color colour blue black white red green large small medium shirt shoes jacket dress keyboard mouse headphones
laptop tablet watch camera printer router monitor speaker warranty repair replace replacement exchange discount coupon code voucher promotion price expensive cheap
quality bank transfer credit debit wallet balance points member membership premium plan upgrade downgrade trial free monthly yearly billing receipt tax company name
street city country zip postal warehouse stock available unavailable backorder preorder customs duty international courier driver neighbour signed doorstep pickup
locker weekend holiday tomorrow yesterday morning afternoon evening week month hours minutes waiting waited promised urgent immediately soon later already never always
sometimes maybe probably definitely certainly unfortunately fortunately really very quite too also only even though although because since until while before during
between about around through without within against under over again further once here where why which who whom whose these those both each few most some such no nor
own same than then down up out off install installed installing download downloaded upload uploaded settings button click clicked clicking press pressed open opened
opening close closed closing crash crashed crashes freeze frozen slow loading loads blank reset restart restarted reboot connect connected connection disconnect network
wireless signal server timeout failed failure success successful successfully verify verified verification confirm confirmed confirmation request requested requesting
approve approved reject rejected pending processing processed complete completed incomplete manager colleague team department agent assistant robot human transfer
transferred escalate escalated complaint feedback review rating stars disappointed satisfied happy angry frustrated confused worried grateful appreciate appreciated
apologise apologize inconvenience patience understand understood explain explained describe described attach attached attachment screenshot photo picture video link
document file format contract agreement policy privacy terms conditions security fraud suspicious blocked unblock locked unlock permission access denied granted delete
deleted remove removed restore restored recover recovered backup data lost found search searching browse browsing history record records report reports export exported`

// Sentences with slots in braces.
const englishSentences = `Hi, where is my order {order}?
Hello! How can I help you today?
I would like a refund of {dollars} for {order}.
My tracking number is {tracking} but it has not been updated for {n} days.
Could you please change my address to {number} {Road} Street, {Town}?
You can reach me at {email} or {phone}.
I have been charged twice: {dollars} on {date}.
The {product} stopped working after {n} days {emoji}
I keep getting {error} when I log in.
Thanks!
Thank you so much {emoji}
OK
Let me check that for you, one moment please.
I am sorry for the inconvenience, {Name}. Your refund has been approved.
Is the {product} still available in {adjective}?
We don't ship to {Town} yet, but we're working on it.
I've updated to version {version} and it still crashes.
Please see https://www.{brand}.com/help/{word}?id={n} for details.
It's been {n} weeks. I can't wait any longer!
Your replacement will be delivered on {date}.
What's the warranty of the {product}?
No, that isn't what I ordered.
My colleague {Name} will call you back tomorrow.`

// Sentences in which both languages meet.
const mixedSentences = `我的{product}无法connect到wifi，app显示{error}
请帮我check一下order {order}
{product}的warranty是多久？
refund {money} 什么时候到账？
我在{brand}官网买的，email是{email}
升级到v{version}之后就{word}了，please help
Hi {Name}，您的快递{tracking}今天派送
这个sale的discount code {code}用不了
打开 https://www.{brand}.com/{word} 是空白的{emoji}`

// What names that nobody has heard before are made of.
const (
	syllables  = "ka lo mi ra ne to vi su da fo li pa ze no bi ga ru te ma so xi jo we qua tra plo sti cle bro fri dra spe glo pri stu kro fla"
	firstNames = "Anna Ben Chloe David Emma Felix Grace Henry Isla Jack Karen Liam Mia Noah Olivia Peter Quinn Ruby Sam Tina Uma Victor Wendy Xavier Yara Zoe José Zoë Łukasz Björn Siân"
	lastNames  = "Smith Jones Brown Taylor Wilson Evans Thomas Müller Schmidt García Martínez O'Brien Nguyễn Kowalski Rossi Silva Andersen Dubois Novák Petrov"
	adjectives = "red blue black white silver gold small large"
	errorWords = "ERR_CONNECTION_REFUSED E1001 E2034 ERR_TIMED_OUT 0x80070057 HTTP-502 SSL_ERROR_EXPIRED AUTH-401 PAY-3009 DB_LOCKED"
)
