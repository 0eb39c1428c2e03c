module roundtripper.test/servers

go 1.22
