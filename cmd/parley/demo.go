package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-chat/parley/api/web"
	"github.com/parley-chat/parley/internal/demo"
)

func newDemo() *cobra.Command {
	c, page := demoDefaults()
	environment := c.readEnvironment() // before the flags, which show it as their default
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a server with a page that tries to make it lose a message",
		Long: `Run a server with a demo site, and a page that tries to make it lose a message:
three devices whose cables can be pulled, a server that can be killed, and a
scoreboard. The password is well known, so it listens on loopback only.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if environment != nil {
				return environment
			}
			o, err := demoOptions(c, page)
			if err != nil {
				return err
			}
			o.Screen = cmd.OutOrStdout()
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().AddFlagSet(newDemoFlags(&c, &page))
	return cmd
}

// demoDefaults are the settings of a demo, and the address of its page.
func demoDefaults() (c config, page string) {
	c = defaultConfig()
	c.HTTP, c.MQTT, c.Metrics, c.DemoSite = "127.0.0.1:8080", "127.0.0.1:1883", "off", true
	return c, "127.0.0.1:8088"
}

func newDemoFlags(c *config, page *string) *pflag.FlagSet {
	flags := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	c.bindFlags(flags)
	flags.StringVar(page, "page", *page, "address of the demo page")
	return flags
}

// demoOptions checks the settings and tells the demo where everything is.
func demoOptions(c config, page string) (demo.Options, error) {
	bad := []error{c.validate(), loopbackOnly(page)}
	kept, _ := c.location() // validated
	if kept.uri != "" {
		bad = append(bad, errors.New("the demo kills its server and keeps everything in a folder: name none, or PARLEY_STORE=sqlite:FOLDER"))
	}
	if c.Metrics != "off" {
		bad = append(bad, loopbackOnly(c.Metrics))
	}
	if err := errors.Join(bad...); err != nil {
		return demo.Options{}, err
	}
	executable, err := os.Executable()
	if err != nil {
		return demo.Options{}, fmt.Errorf("find the program itself: %w", err)
	}
	return demo.Options{
		Executable: executable, Data: kept.folder, HTTP: c.HTTP, MQTT: c.MQTT, Metrics: c.Metrics, Page: page,
		Site: demoSite, SiteKey: demoSiteKey, Origins: c.DemoOrigins, Ancestors: c.FrameAncestors,
		Agents: []demo.Login{{Email: demoEmail, Password: demoPassword}, {Email: demoSecond, Password: demoPassword}},
		Pages:  web.Files(), Language: demo.LanguageOf(os.Getenv), Logger: slog.New(slog.DiscardHandler),
	}, nil
}
