"""Makes the database of a new Bugsink with one project, and says its key and a token for the API."""

import django

django.setup()

from bsmain.models import AuthToken
from django.core.management import call_command
from projects.models import Project

call_command("migrate", verbosity=0)
project = Project.objects.create(id=1, name="shop")
print(project.sentry_key.hex, AuthToken.create_full_access().token)
