package fault

import (
	"regexp"
	"slices"

	"github.com/parley-chat/parley"
)

// grant is a rule of the protocol page: who may subscribe to what. It is written
// down a second time here, in the most naive way, to judge the first one.
type grant struct {
	filter *regexp.Regexp // the first group is the site, the second the user where only the own one is allowed
	roles  []parley.Role
}

const anyID = `[A-Za-z0-9_-]{1,64}`

var (
	everybody = fuzzRoles
	staff     = []parley.Role{parley.RoleAgent, parley.RoleSupervisor, parley.RoleAdmin, parley.RoleOwner}
	grants    = []grant{
		{regexp.MustCompile(`^p1/(` + anyID + `)/c/(?:\+|` + anyID + `)/(?:messages|state|signals)$`), everybody},
		{regexp.MustCompile(`^p1/(` + anyID + `)/c/(?:\+|` + anyID + `)/notes$`), staff},
		{regexp.MustCompile(`^p1/(` + anyID + `)/(?:presence|visits)/(?:\+|` + anyID + `)$`), staff},
		{regexp.MustCompile(`^p1/(` + anyID + `)/u/(` + anyID + `)/events$`), everybody},
		{regexp.MustCompile(`^p1/(` + anyID + `)/d/(` + anyID + `\.` + anyID + `)/errors$`), everybody},
	}
)

func referenceMay(who parley.Identity, filter string) bool {
	return slices.ContainsFunc(grants, func(g grant) bool {
		m := g.filter.FindStringSubmatch(filter)
		if m == nil || m[1] != who.Site || !slices.Contains(g.roles, who.Role) {
			return false
		}
		return len(m) < 3 || m[2] == who.User || m[2] == who.ClientID()
	})
}
