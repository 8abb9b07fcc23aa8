metadata description = 'Who is told of new blobs. The second phase: the key of the webhook exists only after publishing.'

@description('What all names begin with, as in main.bicep.')
@minLength(3)
@maxLength(11)
param name string = 'dicom'

// The same names as in main.bicep.
var suffix = uniqueString(resourceGroup().id)
var appName = '${name}-${suffix}'
var storageName = '${name}${suffix}'

var subscriptions = [
  {
    name: 'index'
    function: 'index_stored_instance'
    container: 'dicom'
    endsWith: '.dcm'
    except: []
    // A hint that is late is worth nothing: the sweep has been there.
    minutes: 60
  }
  {
    name: 'import'
    function: 'import_stored_file'
    container: 'import'
    endsWith: ''
    except: ['rejected/']
    minutes: 1440
  }
]

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource app 'Microsoft.Web/sites@2025-05-01' existing = {
  name: appName

  resource host 'host' existing = {
    name: 'default'
  }
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: appName
}

var key = uriComponent(app::host.listKeys().systemKeys.blobs_extension)
var webhook = 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs'

resource eventSubscriptions 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = [for one in subscriptions: {
  parent: topic
  name: one.name
  properties: {
    eventDeliverySchema: 'EventGridSchema'
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: '${webhook}?functionName=Host.Functions.${one.function}&code=${key}'
        minimumTlsVersionAllowed: '1.2'
      }
    }
    filter: {
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
      subjectBeginsWith: '/blobServices/default/containers/${one.container}/blobs/'
      subjectEndsWith: one.endsWith
      advancedFilters: [for folder in one.except: {
        operatorType: 'StringNotBeginsWith'
        key: 'subject'
        values: ['/blobServices/default/containers/${one.container}/blobs/${folder}']
      }]
    }
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: one.minutes
    }
    deadLetterWithResourceIdentity: {
      identity: {
        type: 'SystemAssigned'
      }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: {
          resourceId: account.id
          blobContainerName: 'deadletter'
        }
      }
    }
  }
}]
