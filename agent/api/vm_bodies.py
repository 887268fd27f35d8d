from horcrux.compute.vm_bodies import *  # noqa: F403
