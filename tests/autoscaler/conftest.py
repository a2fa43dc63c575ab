from hypothesis import settings

settings.register_profile("sluice-autoscaler", deadline=None)  # the machine may be busy with a broker and a cluster beside the tests
settings.load_profile("sluice-autoscaler")
