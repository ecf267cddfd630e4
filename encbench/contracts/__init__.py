"""What a plug-in's author subclasses: encoding, task, metric."""
