package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// Language is what the screen is written in.
type Language int

// The languages.
const (
	English Language = iota
	Chinese
)

// LanguageOf follows the locale as gettext does: the first of LC_ALL,
// LC_MESSAGES and LANG that is set counts. getenv is os.Getenv.
func LanguageOf(getenv func(string) string) Language {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		locale := getenv(name)
		if locale == "" {
			continue
		}
		if strings.HasPrefix(strings.ToLower(locale), "zh") {
			return Chinese
		}
		return English
	}
	return English
}

// facts is what a person needs to begin.
type facts struct {
	page, agent, email, password, mqtt, terminal, log string
}

// wording is everything the screen says in one language.
type wording struct {
	title                     string
	page, agent, signIn, mqtt string
	terminal, expires         string
	log, stop, stopping       string
	gone, back                string
}

func words(l Language) wording {
	if l == Chinese {
		return wording{
			title: "Parley 演示已启动。来试试看，能不能让它丢一条消息。",
			page:  "演示页面", agent: "客服页面", signIn: "登录", mqtt: "MQTT 地址",
			terminal: "粘贴到终端，它就是这位客服的又一台设备：",
			expires:  "其中的令牌一小时内有效。过期后请在演示页面复制新的一行，或重新启动演示。",
			log:      "服务器日志", stop: "按 Ctrl-C 停止。", stopping: "正在停止……",
			gone: "服务器（进程 %d）没了：%s", back: "服务器回来了（进程 %d），用时 %d 毫秒",
		}
	}
	return wording{
		title: "Parley is running. Try to make it lose a message.",
		page:  "Demo page", agent: "Agent page", signIn: "Sign in", mqtt: "MQTT",
		terminal: "Paste into a terminal, and it is one more device of this agent:",
		expires:  "Its token is good for an hour. After that copy a new line from the demo page, or start the demo again.",
		log:      "Server log", stop: "Ctrl-C stops.", stopping: "Stopping …",
		gone: "server (pid %d) is gone: %s", back: "server is back (pid %d) after %d ms",
	}
}

// screen is the terminal the demo was started in.
type screen struct {
	language Language

	mu  sync.Mutex
	out io.Writer
}

func (s *screen) greet(f facts) { s.print(greeting(s.language, f)) }

func (s *screen) stopping() { s.print("\n  " + words(s.language).stopping + "\n") }

// server notes in one line that the server has gone or is back.
func (s *screen) server(e serverEvent) {
	w := words(s.language)
	if e.back {
		s.print(fmt.Sprintf("  ● "+w.back+"\n", e.pid, e.after.Milliseconds()))
		return
	}
	s.print(fmt.Sprintf("  ○ "+w.gone+"\n", e.pid, e.how))
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.out, text) // nobody is left to tell when the terminal is gone
}

// greeting is the text of the start.
func greeting(l Language, f facts) string {
	w := words(l)
	rows := [][2]string{
		{w.page, f.page}, {w.agent, f.agent}, {w.signIn, f.email + "  " + f.password}, {w.mqtt, f.mqtt}, {w.log, f.log},
	}
	widest := 0
	for _, row := range rows {
		widest = max(widest, width(row[0]))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %s\n\n", w.title)
	for _, row := range rows {
		fmt.Fprintf(&b, "  %s%s  %s\n", row[0], strings.Repeat(" ", widest-width(row[0])), row[1])
	}
	// The line to paste stands alone and unbroken, so that it can be selected whole.
	fmt.Fprintf(&b, "\n  %s\n\n%s\n\n  %s\n\n  %s\n\n", w.terminal, f.terminal, w.expires, w.stop)
	return b.String()
}

// width is how many columns text takes in a terminal: Han characters and their
// punctuation take two.
func width(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r >= 0x2e80 && r <= 0xffe6 {
			n++
		}
	}
	return n
}
